"""The board's side of PYNQ.remote: gRPC services in front of a VirtualBoard. Needs the `pynq` package's stubs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc
from pynq.remote import (
    buffer_pb2,
    buffer_pb2_grpc,
    mmio_pb2,
    mmio_pb2_grpc,
    remote_device_pb2,
    remote_device_pb2_grpc,
)

from headrace.device.base import Closing
from headrace.errors import DeviceError, HeadraceError

from .board import VirtualBoard

PORT = 7967
"""The one that pynq connects to."""
CHUNK = 1 << 20
"""Bytes of a file or buffer in one message; gRPC's limit is 4 MiB."""
Answer = TypeVar("Answer")


class _Service:
    """Calls come in threads of their own; the board serves one at a time."""

    def __init__(self, board: VirtualBoard, lock: threading.Lock) -> None:
        self._board, self._lock = board, lock

    def _do(self, context: grpc.ServicerContext, action: Callable[[], Answer]) -> Answer:
        """The action's answer; the call fails with what a HeadraceError says."""
        with self._lock:
            try:
                return action()
            except HeadraceError as error:
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
                raise


class _Files(_Service, remote_device_pb2_grpc.RemoteDeviceServicer):
    def set_bitstream_attrs(self, request: Any, context: Any) -> Any:
        return remote_device_pb2.SetBitstreamAttrsResponse(status=True)

    def existsfile(self, request: Any, context: Any) -> Any:
        return remote_device_pb2.ExistsFileResponse(exists=request.file_path in self._board.files)

    def readfile(self, request: Any, context: Any) -> Iterator[Any]:
        if request.file_path not in self._board.files:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no file {request.file_path} on the virtual board")
        content = self._board.files[request.file_path]
        for start in range(0, max(1, len(content)), CHUNK):
            yield remote_device_pb2.ReadFileResponse(data=content[start : start + CHUNK])

    def writefile(self, request_iterator: Any, context: Any) -> Any:
        parts = [(request.file_path, request.data) for request in request_iterator]
        if parts:
            content = b"".join(data for _, data in parts)
            self._do(context, lambda: self._board.write_file(parts[0][0], content))
        return remote_device_pb2.WriteFileResponse()


class _Registers(_Service, mmio_pb2_grpc.MmioServicer):
    def get_mmio(self, request: Any, context: Any) -> Any:
        return mmio_pb2.GetMmioResponse(status=True, mmio_id=str(request.base_addr))

    def read(self, request: Any, context: Any) -> Any:
        address = int(request.mmio_id) + request.offset
        value = self._do(context, lambda: self._board.read(address))
        return mmio_pb2.ReadResponse(status=True, data=value)

    def write(self, request: Any, context: Any) -> Any:
        address = int(request.mmio_id) + request.offset

        def write() -> None:
            for start in range(0, len(request.data), 4):
                word = int.from_bytes(request.data[start : start + 4], "little")
                self._board.write(address + start, word)

        self._do(context, write)
        return mmio_pb2.WriteResponse(status=True)


class _Buffers(_Service, buffer_pb2_grpc.RemoteBufferServicer):
    def allocate(self, request: Any, context: Any) -> Any:
        name = self._do(context, lambda: self._board.allocate(request.size))
        return buffer_pb2.AllocateResponse(buffer_id=name)

    def write(self, request_iterator: Any, context: Any) -> Any:
        def write() -> None:
            at = 0
            for request in request_iterator:
                array = self._board.buffer(request.buffer_id).array
                if at + len(request.data) > array.size:
                    raise DeviceError(f"{at + len(request.data)} bytes do not fit a buffer of {array.size}")
                array.data[at : at + len(request.data)] = request.data
                at += len(request.data)

        self._do(context, write)
        return buffer_pb2.BufferWriteResponse()

    def read(self, request: Any, context: Any) -> Iterator[Any]:
        content = self._do(context, lambda: self._board.buffer(request.buffer_id).array.tobytes())
        for start in range(0, len(content), CHUNK):
            yield buffer_pb2.BufferReadResponse(data=content[start : start + CHUNK])

    def freebuffer(self, request: Any, context: Any) -> Any:
        self._do(context, lambda: self._board.free(request.buffer_id))
        return buffer_pb2.FreeBufferResponse()

    def flush(self, request: Any, context: Any) -> Any:
        self._do(context, lambda: self._board.buffer(request.buffer_id).flush())
        return buffer_pb2.FlushResponse()

    def invalidate(self, request: Any, context: Any) -> Any:
        self._do(context, lambda: self._board.buffer(request.buffer_id).invalidate())
        return buffer_pb2.InvalidateResponse()

    def physical_address(self, request: Any, context: Any) -> Any:
        address = self._do(context, lambda: self._board.buffer(request.buffer_id).address)
        return buffer_pb2.AddressResponse(address=address)

    virtual_address = physical_address

    def cacheable(self, request: Any, context: Any) -> Any:
        return buffer_pb2.CacheableResponse(cacheable=True)


class BoardServer(Closing):
    """Serves `board` on `host`:`port` until `close`; port 0 takes a free one. DeviceError where the port is taken."""

    def __init__(self, board: VirtualBoard, host: str = "127.0.0.1", port: int = PORT) -> None:
        lock = threading.Lock()
        self._server = grpc.server(ThreadPoolExecutor(max_workers=8), options=[("grpc.so_reuseport", 0)])
        remote_device_pb2_grpc.add_RemoteDeviceServicer_to_server(_Files(board, lock), self._server)
        mmio_pb2_grpc.add_MmioServicer_to_server(_Registers(board, lock), self._server)
        buffer_pb2_grpc.add_RemoteBufferServicer_to_server(_Buffers(board, lock), self._server)
        try:
            self.port = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError:
            self.port = 0
        if not self.port:
            raise DeviceError(f"the virtual board cannot listen at {host}:{port}: is one running already?")
        self._server.start()

    def wait(self) -> None:
        """Until `close`, or Ctrl-C."""
        self._server.wait_for_termination()

    def close(self) -> None:
        """Calls under way are cut off."""
        self._server.stop(grace=0).wait()
