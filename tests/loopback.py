"""A small Modal on this machine: the real client and the real container entry point talk to it over loopback, and no account is needed.

A function runs in a "container": a process of this machine with a home, a working directory and copies of its volumes of its own.
What is called and not served here is answered UNIMPLEMENTED, logged, and noted in `Loopback.missing`.
"""

import asyncio
import contextlib
import ctypes
import hashlib
import inspect
import itertools
import logging
import math
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import defaultdict, deque
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import psutil
from aiohttp import web
from grpclib import GRPCError, Status
from grpclib.const import Handler
from grpclib.server import Server
from modal_proto import api_grpc
from modal_proto import api_pb2 as api

TOKEN = "ak-loopback", "as-loopback"
BLOCK = 8 << 20  # bytes of a volume's file that one URL delivers, as the client counts them
die_with_parent = partial(ctypes.CDLL(None).prctl, 1, signal.SIGKILL) if sys.platform == "linux" else None
new_id = lambda kind: f"{kind}-{uuid.uuid4().hex[:22]}"
status = lambda name: api.GenericResult.GenericStatus.Value(f"GENERIC_STATUS_{name}")


def find(known, key, what):
    "The object of that id or name, or the answer that Modal gives where there is none."
    if key not in known: raise GRPCError(Status.NOT_FOUND, f"{what} '{key}' not found")
    return known[key]


async def until(ready, timeout):
    "Wait until something is there, or until the time is over."
    end = time.monotonic() + timeout
    while not ready() and time.monotonic() < end: await asyncio.sleep(0.03)


class Record(SimpleNamespace):
    "An app, a function, a call, an input or a volume: its fields by name, and equal to itself alone."
    __eq__, __hash__ = object.__eq__, object.__hash__


class Mount:
    "A container's own copy of a volume's files: `commit` sends what the container changed, `reload` fetches what others changed."

    def __init__(self, committed, folder):
        for path in (committed, folder): path.mkdir(parents=True, exist_ok=True)
        self.committed, self.folder, self.seen = committed, folder, {}
        self.reload()

    @staticmethod
    def stamps(folder):
        files = {p.relative_to(folder): p.stat() for p in folder.rglob("*") if p.is_file()}
        return {path: (stat.st_mtime_ns, stat.st_size) for path, stat in files.items()}

    @staticmethod
    def carry(source, target, changed, gone):
        part = target.parent / f".{uuid.uuid4().hex}"
        for path in changed:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # a temporary file of the function's
                shutil.copy2(source / path, part)
                part.replace(target / path)
        for path in gone: (target / path).unlink(missing_ok=True)

    def commit(self):
        mine = self.stamps(self.folder)
        self.carry(self.folder, self.committed, {p for p in mine if mine[p] != self.seen.get(p)}, self.seen.keys() - mine.keys())
        self.seen = mine

    def reload(self):
        theirs, mine = self.stamps(self.committed), self.stamps(self.folder)
        kept = {p for p in mine.keys() | self.seen.keys() if mine.get(p) != self.seen.get(p)}  # changed here, not committed yet
        changed, gone = {p for p in theirs.keys() - kept if theirs[p] != self.seen.get(p)}, self.seen.keys() - theirs.keys() - kept
        self.carry(self.committed, self.folder, changed, gone)
        self.seen = {p: s for p, s in self.seen.items() if p not in gone} | {p: theirs[p] for p in changed}


class Container:
    "A process that runs Modal's entry point, for one input or, where the function allows it, for one after another."

    def __init__(self, cloud, entry):
        self.cloud, self.function, self.id, self.started = cloud, entry.call.function, new_id("ta"), time.time()
        self.preempted, self.alive, self.gone, self.to_cancel = False, True, asyncio.Event(), []
        self.take(entry)
        definition, app, self.folder = self.function.definition, self.function.app, cloud.temp / self.id
        for name in ("home", "work", "root"): (self.folder / name).mkdir(parents=True)
        for filename, sha in itertools.chain(*(cloud.mounts[m].items() for m in definition.mount_ids)):
            target = self.folder / filename.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists(): os.link(cloud.files / sha, target)
        self.mounts = {m.volume_id: Mount(cloud.volumes[m.volume_id].folder / m.sub_path.strip("/"), self.folder / m.volume_id)
                       for m in definition.volume_mounts}
        known = [dict(object_id=f.id, function_handle_metadata=f.metadata) for f in app.functions]
        known += [dict(object_id=d.object_id, volume_metadata=getattr(cloud.volumes.get(d.object_id), "metadata", None))
                  for d in definition.object_dependencies]
        layout = dict(objects=known, function_ids={f.metadata.function_name: f.id for f in app.functions})
        arguments = api.ContainerArguments(task_id=self.id, function_id=self.function.id, app_id=app.id, function_def=definition,
                                           environment_name="main", app_layout=layout)
        (self.folder / "arguments").write_bytes(arguments.SerializeToString())
        command = [sys.executable, "-m", "modal._container_entrypoint"]
        self.process = subprocess.Popen(command, env=self.environment(), cwd=self.folder / "work", bufsize=0, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, preexec_fn=die_with_parent)
        self.pid, self.pipes = self.process.pid, {self.process.stdout, self.process.stderr}
        for pipe in self.pipes: cloud.loop.add_reader(pipe, self.read, pipe)
        threading.Thread(target=lambda: cloud.loop.call_soon_threadsafe(self.ended, self.process.wait()), daemon=True).start()

    def environment(self):
        definition, cloud, env = self.function.definition, self.cloud, {}
        for secret in definition.secret_ids: env |= cloud.secrets[secret]
        for mount in list(self.mounts.values())[:1]: env["MADLIB_VOLUME"] = str(mount.folder)
        return cloud.image_environment(definition.image_id) | env | {
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin", "HOME": str(self.folder / "home"), "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(map(str, [*cloud.pythonpath, self.folder / "root"])), "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1", "MODAL_IS_REMOTE": "1", "MODAL_SERVER_URL": cloud.url, "MODAL_DISABLE_API_PROXY": "1",
            "MODAL_TASK_ID": self.id, "MODAL_IMAGE_ID": definition.image_id, "MODAL_ENVIRONMENT": "main",
            "MODAL_OVERRIDE_HEADERS": f"x-modal-task-id:{self.id}", "MODAL_CONTAINER_ARGUMENTS_PATH": str(self.folder / "arguments"),
        }

    def take(self, entry):
        entry.attempts += 1
        entry.container, self.entry, self.handed = self, entry, False
        self.input_id, self.call_id, self.attempt = entry.id, entry.call.id, entry.attempts

    def read(self, pipe):
        if not (data := os.read(pipe.fileno(), 1 << 16)): return self.close(pipe)
        descriptor = api.FILE_DESCRIPTOR_STDOUT if pipe is self.process.stdout else api.FILE_DESCRIPTOR_STDERR
        line = api.TaskLogs(data=data.decode(errors="replace"), timestamp=time.time(), file_descriptor=descriptor,
                            function_call_id=self.call_id, input_id=self.input_id, container_id=self.id)
        self.function.app.logs.append(api.TaskLogsBatch(task_id=self.id, function_id=self.function.id, items=[line]))

    def close(self, pipe):
        self.cloud.loop.remove_reader(pipe)
        self.pipes.discard(pipe)
        pipe.close()

    def ended(self, code):
        self.kill()  # what the function left running
        self.alive = False
        self.cloud.live.discard(self)
        if self.preempted and not self.entry.output:
            if self.entry.timer: self.entry.timer.cancel()
            self.entry.container = None
            self.cloud.waiting.appendleft(self.entry)
        else: self.cloud.finish(self.entry, "FAILURE", f"Container exited with status {code}")
        self.gone.set()
        self.cloud.schedule()

    def kill(self):
        if not self.alive: return
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self.pid).children(recursive=True): child.kill()
        with contextlib.suppress(ProcessLookupError, PermissionError): os.killpg(self.pid, signal.SIGKILL)


class Servicer:
    "One method for each RPC: it takes the request and the container that sent it (None: a client) and gives the fields of the reply."

    def __init__(self, cloud): self.cloud = cloud

    def __mapping__(self):
        every = type("Every", (api_grpc.ModalClientBase,), dict.fromkeys(api_grpc.ModalClientBase.__abstractmethods__))()
        return {path: Handler(partial(self._serve, path.rpartition("/")[2], h.reply_type), h.cardinality, h.request_type, h.reply_type)
                for path, h in every.__mapping__().items()}

    async def _serve(self, name, reply, stream):
        cloud, headers, request = self.cloud, stream.metadata, await stream.recv_message()
        cloud.calls.append((name, request))
        sender = next((c for c in cloud.live if c.id == headers.get("x-modal-task-id")), None)
        if not sender and (headers.get("x-modal-token-id"), headers.get("x-modal-token-secret")) != TOKEN:
            raise GRPCError(Status.UNAUTHENTICATED, "Token validation failed. Could not authenticate client.")
        if not sender and cloud.faults["unavailable"] > 0:
            cloud.faults["unavailable"] -= 1
            raise GRPCError(Status.UNAVAILABLE, "The service is unavailable")
        method = getattr(self, name, None)
        if not method:
            cloud.missing.append(name)
            logging.getLogger("loopback").warning("%s is not implemented here", name)
            raise GRPCError(Status.UNIMPLEMENTED, f"{name} is not implemented by the loopback")
        if inspect.isasyncgenfunction(method):
            async for fields in method(request, sender): await stream.send_message(reply(**fields))
        else: await stream.send_message(reply(**(await method(request, sender) or {})))

    def _app(self, request): return find(self.cloud.apps, request.app_id, "App")
    def _call(self, request): return find(self.cloud.function_calls, request.function_call_id, "Function call")
    def _part(self, request): return find(self.cloud.queues, request.queue_id, "Queue")[request.partition_key]

    def _path(self, request):
        found = find(self.cloud.volumes, request.volume_id, "Volume").folder / request.path.strip("/")
        if found.exists(): return found
        raise GRPCError(Status.NOT_FOUND, f"No such file or directory: {request.path}")

    async def _nothing(self, request, sender): pass

    ClientHello = ContainerHello = AppHeartbeat = QueueHeartbeat = VolumeHeartbeat = FunctionFinishInputs = _nothing

    async def EnvironmentGetOrCreate(self, request, sender):
        settings = api.EnvironmentSettings(image_builder_version="2025.06")
        return dict(environment_id=new_id("en"), metadata=api.EnvironmentMetadata(name="main", settings=settings))

    async def AppCreate(self, request, sender):
        app = Record(id=new_id("ap"), description=request.description, state=request.app_state, created=time.time(), functions=[], logs=[])
        self.cloud.apps[app.id], self.cloud.tags[app.id] = app, dict(request.tags)
        return dict(app_id=app.id, app_page_url=f"{self.cloud.url}/apps/{app.id}")

    async def AppPublish(self, request, sender):
        self._app(request).state, self.cloud.tags[request.app_id] = request.app_state, dict(request.tags)
        return dict(url=f"{self.cloud.url}/apps/{request.app_id}", deployed_at=time.time())

    async def AppSetTags(self, request, sender): self.cloud.tags[request.app_id] = dict(request.tags)

    async def AppClientDisconnect(self, request, sender):
        app = self._app(request)
        if app.state == api.APP_STATE_DETACHED: app.state = api.APP_STATE_DETACHED_DISCONNECTED
        elif app.state != api.APP_STATE_DEPLOYED: self.cloud.stop(app)
        self.cloud.settle(app)

    async def AppStop(self, request, sender): self.cloud.stop(self._app(request))
    async def AppGetLifecycle(self, request, sender): return dict(lifecycle=api.AppLifecycle(app_state=self._app(request).state))

    async def AppList(self, request, sender):
        count = lambda app: sum(c.function.app is app for c in self.cloud.live)
        return dict(apps=[dict(app_id=a.id, description=a.description, state=a.state, created_at=a.created, n_running_tasks=count(a))
                          for a in self.cloud.apps.values()])

    def _logs(self, request, batches):
        return [b for b in batches if request.search_text in b.items[0].data and request.task_id in ("", b.task_id)
                and request.function_id in ("", b.function_id) and request.function_call_id in ("", b.items[0].function_call_id)]

    async def AppFetchLogs(self, request, sender):
        since, until = request.since.ToNanoseconds() / 1e9, request.until.ToNanoseconds() / 1e9
        logs = self._logs(request, [b for b in self._app(request).logs if since <= b.items[0].timestamp <= until])
        return dict(batches=logs[-(request.limit or 100):])

    async def AppGetLogs(self, request, sender):
        app, at, end = self._app(request), int(request.last_entry_id or 0), time.monotonic() + request.timeout
        over = {api.APP_STATE_STOPPED, api.APP_STATE_DETACHED_DISCONNECTED} - {app.state}  # the client that leaves is let go
        while True:
            new, at = app.logs[at:], len(app.logs)
            for batch in self._logs(request, new): yield dict(task_id=batch.task_id, items=batch.items, entry_id=str(at))
            busy = any(c.pipes for c in self.cloud.containers if c.function.app is app)
            done = app.state in over or app.state == api.APP_STATE_STOPPED and not busy
            if done: yield dict(app_done=True)
            if done or time.monotonic() > end: return
            await asyncio.sleep(0.1)

    def _built(self): return dict(result=dict(status=status("SUCCESS")), metadata=dict(image_builder_version="2025.06"))

    async def ImageGetOrCreate(self, request, sender):
        definition = request.image.SerializeToString(deterministic=True)
        known = next((i for i, d in self.cloud.image_definitions.items() if d == definition), None)
        image = known or new_id("im")
        self.cloud.images.append(request.image)
        self.cloud.image_definitions[image] = definition
        return dict(image_id=image) | (self._built() if known and not self.cloud.faults["image_fails"] else {})  # else it is waited for

    async def ImageJoinStreaming(self, request, sender):
        if why := self.cloud.faults["image_fails"]:
            yield dict(task_logs=[dict(data=f"{why}\n", timestamp=time.time(), file_descriptor=api.FILE_DESCRIPTOR_STDOUT)], entry_id="1-0")
            yield dict(result=dict(status=status("FAILURE"), exception=why))
        else: yield self._built()

    async def MountBatchedCheckExistence(self, request, sender): return dict(missing_sha256_hex_hashes=request.sha256_hex_hashes)

    async def MountPutFile(self, request, sender):
        file = self.cloud.files / request.sha256_hex
        if request.data_blob_id: shutil.copy(self.cloud.files / request.data_blob_id, file)
        elif request.WhichOneof("data_oneof"): file.write_bytes(request.data)
        return dict(exists=file.exists())

    async def MountGetOrCreate(self, request, sender):
        files = self.cloud.mounts[mount := new_id("mo")] = {file.filename: file.sha256_hex for file in request.files}
        checksum = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()
        return dict(mount_id=mount, handle_metadata=dict(content_checksum_sha256_hex=checksum))

    async def SecretGetOrCreate(self, request, sender):
        self.cloud.secrets[secret := new_id("st")] = dict(request.env_dict)
        return dict(secret_id=secret, metadata=dict(name=request.deployment_name))

    async def BlobCreate(self, request, sender):
        blob = new_id("bl")
        return dict(blob_ids=[blob], upload_urls=dict(items=[f"{self.cloud.http}/{blob}"]))

    async def BlobGet(self, request, sender): return dict(download_url=f"{self.cloud.http}/{request.blob_id}")

    async def FunctionPrecreate(self, request, sender):
        metadata = api.FunctionHandleMetadata(
            function_name=request.function_name, function_type=request.function_type, function_schema=request.function_schema,
            supported_input_formats=request.supported_input_formats, supported_output_formats=request.supported_output_formats)
        function = Record(id=request.existing_function_id or new_id("fu"), app=self._app(request), metadata=metadata, definition=None)
        self.cloud.functions_by_id[function.id] = function
        function.app.functions.append(function)
        return dict(function_id=function.id, handle_metadata=metadata)

    async def FunctionCreate(self, request, sender):
        function = find(self.cloud.functions_by_id, request.existing_function_id, "Function")
        ranked = request.function_data.ranked_functions or [api.FunctionData.RankedFunction(function=request.function)]
        function.definition = ranked[0].function  # of a list of GPUs the first will do
        function.metadata.definition_id = new_id("de")
        self.cloud.functions.append(function.definition)
        return dict(function_id=function.id, handle_metadata=function.metadata, function_data=dict(ranked_functions=ranked))

    def _enter(self, call, items):
        entries = [Record(id=new_id("in"), idx=item.idx, call=call, data=item.input, attempts=0, output=None, container=None, timer=None)
                   for item in items]
        call.inputs += entries
        self.cloud.waiting += entries
        self.cloud.schedule()
        return [dict(idx=e.idx, input_id=e.id, input_jwt=e.id) for e in entries]

    async def FunctionMap(self, request, sender):
        function = find(self.cloud.functions_by_id, request.function_id, "Function")
        if function.app.state == api.APP_STATE_STOPPED: raise GRPCError(Status.FAILED_PRECONDITION, "App is stopped")
        call = Record(id=new_id("fc"), function=function, kind=request.function_call_invocation_type, inputs=[], done=[])
        self.cloud.function_calls[call.id] = call
        return dict(function_call_id=call.id, pipelined_inputs=self._enter(call, request.pipelined_inputs), max_inputs_outstanding=1000)

    async def FunctionPutInputs(self, request, sender): return dict(inputs=self._enter(self._call(request), request.inputs))

    async def FunctionGetOutputs(self, request, sender):
        call, last, ranged = self._call(request), int(request.last_entry_id.split("-")[0] or 0), request.HasField("start_idx")
        chosen = lambda: [i for i in call.done if request.start_idx <= i.idx <= request.end_idx] if ranged else call.done[last:]
        await until(chosen, request.timeout)
        outputs = chosen()
        if outputs and self.cloud.faults["lose_output"] > 0:
            self.cloud.faults["lose_output"] -= 1
            return dict(num_unfinished_inputs=1, last_entry_id=request.last_entry_id)
        return dict(outputs=[i.output for i in outputs], idxs=[i.idx for i in outputs], last_entry_id=f"{len(call.done)}-0",
                    num_unfinished_inputs=len(self.cloud.unfinished(call)))

    async def FunctionCallFromId(self, request, sender):
        call = self._call(request)
        metadata = dict(app_id=call.function.app.id, function_id=call.function.id)
        return dict(function_call_id=call.id, num_inputs=len(call.inputs), metadata=metadata)

    async def FunctionCallCancel(self, request, sender): self.cloud.terminate(self._call(request), request.terminate_containers)

    async def FunctionGetInputs(self, request, sender):
        if sender.handed or sender.entry.output:
            entry = next((i for i in self.cloud.waiting if i.call.function is sender.function and not sender.preempted), None)
            if not entry: return dict(inputs=[dict(kill_switch=True)])
            self.cloud.waiting.remove(entry)
            sender.take(entry)
        entry, sender.handed = sender.entry, True
        seconds = sender.function.definition.timeout_secs or 300
        entry.timer = self.cloud.loop.call_later(seconds, self.cloud.overrun, entry, seconds)
        return dict(inputs=[dict(input_id=entry.id, input=entry.data, function_call_id=entry.call.id, function_map_idx=entry.idx,
                                 function_call_invocation_type=entry.call.kind)])

    async def FunctionPutOutputs(self, request, sender):
        for item in request.outputs:
            if item.input_id == sender.entry.id: self.cloud.finish(sender.entry, item)

    async def TaskResult(self, request, sender): self.cloud.finish(sender.entry, request)

    async def ContainerHeartbeat(self, request, sender):
        await until(lambda: sender.to_cancel, 14)
        ids, sender.to_cancel = sender.to_cancel, []
        return dict(cancel_input_event=dict(input_ids=ids)) if ids else {}

    async def VolumeGetOrCreate(self, request, sender):
        create = request.object_creation_type != api.OBJECT_CREATION_TYPE_UNSPECIFIED
        volume = self.cloud.named_volume(request.deployment_name or new_id("anonymous"), create, request.version)
        return dict(volume_id=volume.id, version=volume.metadata.version, metadata=volume.metadata)

    def _mount(self, request, sender):
        if sender and request.volume_id in sender.mounts: return sender.mounts[request.volume_id]
        raise GRPCError(Status.FAILED_PRECONDITION, "Only a container that mounts the volume can commit or reload it")

    async def VolumeCommit(self, request, sender): self._mount(request, sender).commit()
    async def VolumeReload(self, request, sender): self._mount(request, sender).reload()

    async def VolumeListFiles(self, request, sender):
        base, top, kinds = self._path(request), self.cloud.volumes[request.volume_id].folder, api.FileEntry.FileType
        paths = [base] if base.is_file() else sorted(base.rglob("*") if request.recursive else base.iterdir())
        yield dict(entries=[dict(path=str(p.relative_to(top)), size=p.stat().st_size, mtime=int(p.stat().st_mtime),
                                 type=kinds.DIRECTORY if p.is_dir() else kinds.FILE) for p in paths])

    async def VolumeRemoveFile(self, request, sender):
        path = self._path(request)
        if path.is_dir() and not request.recursive: raise GRPCError(Status.INVALID_ARGUMENT, f"{request.path} is a directory")
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    VolumeListFiles2, VolumeRemoveFile2 = VolumeListFiles, VolumeRemoveFile

    async def VolumeGetFile2(self, request, sender):
        path, copy = self._path(request), self.cloud.files / uuid.uuid4().hex
        if not path.is_file(): raise GRPCError(Status.INVALID_ARGUMENT, f"{request.path} is not a file")
        os.link(path, copy)  # a commit puts another file in its place, so that the blocks belong together
        size = copy.stat().st_size
        return dict(get_urls=[f"{self.cloud.http}/{copy.name}?start={at}" for at in range(0, size, BLOCK)], size=size, len=size)

    async def VolumePutFiles(self, request, sender):
        for file in request.files:
            target = find(self.cloud.volumes, request.volume_id, "Volume").folder / file.filename.strip("/")
            if target.exists() and request.disallow_overwrite_existing_files:
                raise GRPCError(Status.ALREADY_EXISTS, f"{file.filename} already exists")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copy(self.cloud.files / file.sha256_hex, target)

    async def QueueGetOrCreate(self, request, sender):
        cloud, name = self.cloud, request.deployment_name or new_id("anonymous")
        if request.object_creation_type == api.OBJECT_CREATION_TYPE_UNSPECIFIED: find(cloud.queue_ids, name, "Queue")
        queue = cloud.queue_ids.setdefault(name, new_id("qu"))
        cloud.queues.setdefault(queue, defaultdict(list))
        return dict(queue_id=queue, metadata=dict(name=name))

    async def QueuePut(self, request, sender):
        values = self._part(request)
        if len(values) + len(request.values) > 5000: raise GRPCError(Status.RESOURCE_EXHAUSTED, "The queue's partition is full")
        values += [(next(self.cloud.counter), value) for value in request.values]

    async def QueueGet(self, request, sender):
        values = self._part(request)
        await asyncio.sleep(self.cloud.faults["queue_delay"])
        await until(lambda: values, request.timeout)
        taken = values[:request.n_values or 1]
        del values[:len(taken)]
        return dict(values=[value for _, value in taken])

    async def QueueNextItems(self, request, sender):
        values, last = self._part(request), int(request.last_entry_id or 0)
        await asyncio.sleep(self.cloud.faults["queue_delay"])
        new = lambda: [dict(entry_id=str(number), value=value) for number, value in values if number > last]
        await until(new, request.item_poll_timeout)
        return dict(items=new())


class Loopback:
    """The cloud, for as long as its `with` block lasts: its state, its servers in a thread of their own, and what can go wrong with it.

    `calls` holds what was asked, as (RPC, request), `images`, `functions` and `mounts` what was defined, `tags` those of an app's id,
    `containers` every container in the order of their start. `faults`: the first `lose_output` outputs are not delivered, a queue answers
    `queue_delay` seconds late, the next `unavailable` RPCs of clients fail, images are not built but fail with the text `image_fails`.
    """

    def __init__(self, pythonpath=(Path(__file__).parent.parent,), side_by_side=2):
        self.pythonpath, self.side_by_side = pythonpath, side_by_side
        self.calls, self.missing, self.images, self.functions, self.tags, self.containers = [], [], [], [], {}, []
        self.faults = defaultdict(int)
        self.apps, self.functions_by_id, self.function_calls, self.volumes, self.mounts, self.secrets = {}, {}, {}, {}, {}, {}
        self.image_definitions, self.queue_ids, self.queues, self.counter = {}, {}, {}, itertools.count(1)
        self.waiting, self.live = deque(), set()

    def __enter__(self):
        self.temp = Path(tempfile.mkdtemp(prefix="loopback-"))
        self.files = self.temp / "files"  # what was uploaded: mounted files by their hash, blobs by their id
        self.files.mkdir()
        (self.temp / "modal.toml").touch()
        self.forget_client()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.run(self.start())
        return self

    def __exit__(self, *failure):
        self.run(self.end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
        self.forget_client()
        shutil.rmtree(self.temp, ignore_errors=True)

    @staticmethod
    def forget_client():
        "A process has one client: a test that uses Modal in its own process shall not go on with that of another cloud."
        if "modal.client" in sys.modules: sys.modules["modal.client"]._Client._set_env_client(None)

    def run(self, coroutine): return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    async def start(self):
        bound = [socket.socket(proto=socket.IPPROTO_TCP) for _ in range(2)]  # named so, that asyncio does not let small answers wait
        for s in bound: s.bind(("127.0.0.1", 0))
        self.url, self.http = (f"http://127.0.0.1:{s.getsockname()[1]}" for s in bound)
        self.server, app = Server([Servicer(self)]), web.Application(client_max_size=1 << 30)
        await self.server.start(sock=bound[0])
        app.add_routes([web.get("/{name}", self.download), web.put("/{name}", self.upload)])
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.SockSite(self.runner, bound[1]).start()

    async def end(self):
        self.side_by_side = 0
        for c in list(self.live): c.kill()
        for c in self.containers:
            await c.gone.wait()
            for pipe in list(c.pipes): c.close(pipe)
        self.server.close()
        await self.runner.cleanup()

    async def upload(self, request):
        data = await request.read()
        (self.files / request.match_info["name"]).write_bytes(data)
        return web.Response(headers={"ETag": f'"{hashlib.md5(data).hexdigest()}"'})

    async def download(self, request):
        with (self.files / request.match_info["name"]).open("rb") as file:
            file.seek(int(request.query.get("start", 0)))
            return web.Response(body=file.read(BLOCK if "start" in request.query else -1))

    @property
    def environment(self):
        "What a client process needs in its environment beside its own."
        return dict(MODAL_SERVER_URL=self.url, MODAL_TOKEN_ID=TOKEN[0], MODAL_TOKEN_SECRET=TOKEN[1], MODAL_DISABLE_API_PROXY="1",
                    MODAL_CONFIG_PATH=str(self.temp / "modal.toml"))

    def image_environment(self, image_id):
        "The variables that an image sets, those of its base first."
        image, env = api.Image.FromString(self.image_definitions.get(image_id, b"")), {}
        for base in image.base_images: env |= self.image_environment(base.image_id)
        lines = [shlex.split(line[4:]) for line in image.dockerfile_commands if line.startswith("ENV ")]
        return env | dict(item.split("=", 1) for line in lines for item in line)

    def named_volume(self, name, create=True, version=0):
        known = {v.metadata.name: v for v in self.volumes.values()}
        if not create or name in known: return find(known, name, "Volume")
        metadata = api.VolumeMetadata(name=name, version=version or api.VOLUME_FS_VERSION_V1)
        volume = Record(id=new_id("vo"), metadata=metadata, folder=self.volume(name))
        return self.volumes.setdefault(volume.id, volume)

    def volume(self, name):
        "The committed state of a volume, as a folder."
        folder = self.temp / "volumes" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def schedule(self):
        "Start containers for the inputs that wait, as many as may run side by side."
        if len(self.live) >= self.side_by_side: return
        for entry in list(self.waiting):
            function = entry.call.function
            limit = function.definition.autoscaler_settings.max_containers or math.inf
            if len(self.live) < self.side_by_side and sum(c.function is function for c in self.live) < limit:
                self.waiting.remove(entry)
                self.containers.append(container := Container(self, entry))
                self.live.add(container)

    @staticmethod
    def unfinished(call): return [i for i in call.inputs if not i.output]

    def finish(self, entry, result, why=""):
        "An input has its output: what a container put, or a status with the reason."
        if entry.output: return
        if isinstance(result, str): result = api.FunctionPutOutputsItem(result=dict(status=status(result), exception=why))
        entry.output = api.FunctionGetOutputsItem(result=result.result, idx=entry.idx, input_id=entry.id,
                                                  data_format=getattr(result, "data_format", 0))
        if entry.timer: entry.timer.cancel()
        if not entry.container: self.waiting.remove(entry)
        entry.call.done.append(entry)
        self.settle(entry.call.function.app)

    def settle(self, app):
        "A detached app without a client and without work is over."
        if app.state != api.APP_STATE_DETACHED_DISCONNECTED: return
        if not any(self.unfinished(c) for c in self.function_calls.values() if c.function.app is app): app.state = api.APP_STATE_STOPPED

    def overrun(self, entry, seconds):
        self.finish(entry, "TIMEOUT", f"Task's current input {entry.id} hit its timeout of {seconds}s")
        entry.container.kill()

    def terminate(self, call, containers=True, result="TERMINATED", why="Input was cancelled by user"):
        "End a call's inputs that have no output yet, and the containers that run them."
        for entry in self.unfinished(call):
            self.finish(entry, result, why)
            if entry.container and containers: entry.container.kill()
            elif entry.container: entry.container.to_cancel.append(entry.id)

    def stop(self, app):
        app.state = api.APP_STATE_STOPPED
        for call in self.function_calls.values():
            if call.function.app is app: self.terminate(call, why="App was stopped")

    def preempt(self, call_id=None, grace=0):
        "Take away the containers of a call (or all), by SIGINT and after `grace` seconds by SIGKILL; their inputs start again."
        async def work():
            taken = [c for c in self.live if call_id in (None, c.call_id) and not c.entry.output]
            for c in taken:
                c.preempted = True
                if grace: c.process.send_signal(signal.SIGINT)
            if grace: await until(lambda: not any(c.alive for c in taken), grace)
            for c in taken:
                c.kill()
                await c.gone.wait()
            return taken
        return self.run(work())

    def kill(self, call_id=None, result="KERNEL_OOM_KILL", why="Container ran out of memory and was killed"):
        "The containers of a call (or all) die, and no retry is left."
        async def work():
            for call in list(self.function_calls.values()):
                if call_id in (None, call.id): self.terminate(call, result=result, why=why)
            for c in [c for c in self.live if call_id in (None, c.call_id)]: await c.gone.wait()
        self.run(work())

    def expire(self, call_id):
        "Forget a call's outputs, as Modal does some days later."
        call = self.function_calls[call_id]
        call.inputs, call.done = [], []  # no output and none to come: the client takes it for expired
