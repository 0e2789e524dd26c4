"""A slow line: ``slow_line.py DELAY_S PORT=HOST:PORT ...`` passes bytes on, each way, ``DELAY_S`` after they came."""

import queue
import socket
import sys
import threading
import time


def carry(source, sink, delay_s):
    waiting = queue.SimpleQueue()

    def deliver():
        while True:
            due, data = waiting.get()
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                sink.sendall(data) if data else sink.shutdown(socket.SHUT_WR)
            except OSError:
                return
            if not data:
                return

    threading.Thread(target=deliver, daemon=True).start()
    while True:
        try:
            data = source.recv(1 << 16)
        except OSError:
            data = b""
        waiting.put((time.monotonic() + delay_s, data))
        if not data:
            return


def serve(listener, target, delay_s):
    while True:
        near, _ = listener.accept()
        try:
            far = socket.create_connection(target)
        except OSError:
            near.close()
            continue
        for ends in ((near, far), (far, near)):
            threading.Thread(target=carry, args=(*ends, delay_s), daemon=True).start()


def main():
    delay_s, lines = float(sys.argv[1]), sys.argv[2:]
    for line in lines:
        port, _, target = line.partition("=")
        host, _, target_port = target.rpartition(":")
        listener = socket.create_server(("127.0.0.1", int(port)))
        threading.Thread(target=serve, args=(listener, (host, int(target_port)), delay_s), daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main()
