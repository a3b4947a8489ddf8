/** Debian's kernel with its driver of vsock devices: streams both ways, by Unix sockets as Firecracker has them. */
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { createPc } from '@retrap/machine'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { UnixVsock } from '@retrap/virtio/node'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { writeCpio } from '@retrap/linux-guest/linux/cpio'
import { linuxWith } from '../support/disk-linux.ts'
import { FIRST_PROCESS, TO_DEVICES } from '../support/first-process.ts'
import { echoed, printed } from '../support/vsock-echo.ts'
import { sha256 } from '../support/sha256.ts'

const DEADLINE_MS = 300_000
const MIB = 1 << 20
const folder = temporaryFolder('vsock')

/**
 * The guest's program: it returns what comes by port 1000 to each peer, in a process for each; and it sends `hello` to the
 * host's port 52 again and again until the host has accepted, and prints the answer.
 */
const PROGRAM = `
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
static char buffer[65536];
int main(void) {
  struct sockaddr_vm any = {.svm_family = AF_VSOCK, .svm_port = 1000, .svm_cid = VMADDR_CID_ANY};
  struct sockaddr_vm host = {.svm_family = AF_VSOCK, .svm_port = 52, .svm_cid = VMADDR_CID_HOST};
  int server = socket(AF_VSOCK, SOCK_STREAM, 0);
  if (bind(server, (void *)&any, sizeof any) || listen(server, 100)) return perror("listen"), 1;
  if (!fork())
    for (;;) {
      int peer = accept(server, 0, 0);
      if (peer < 0) { perror("accept"); continue; }
      if (!fork()) {
        ssize_t length;
        while ((length = read(peer, buffer, sizeof buffer)) > 0)
          for (ssize_t at = 0; at < length;) {
            ssize_t done = write(peer, buffer + at, length - at);
            if (done < 0) return perror("write"), 1;
            at += done;
          }
        if (length < 0) perror("read");
        return 0;
      }
      close(peer);
    }
  printf("listening\\n");
  fflush(stdout);
  for (;;) {
    int peer = socket(AF_VSOCK, SOCK_STREAM, 0);
    if (connect(peer, (void *)&host, sizeof host)) { close(peer); usleep(100000); continue; }
    write(peer, "hello", 5);
    shutdown(peer, SHUT_WR);
    ssize_t length, all = 0;
    while ((length = read(peer, buffer + all, sizeof buffer - 1 - all)) > 0) all += length;
    buffer[all] = 0;
    printf("answer: %s\\n", buffer);
    fflush(stdout);
    close(peer);
    usleep(100000);
  }
}
`

const AUTO = `${FIRST_PROCESS}/drivers
/program
poweroff -f
`

const linux = hasProgram('gcc') ? await linuxWith(['virtio_pci', 'vmw_vsock_virtio_transport'], AUTO) : undefined

function withProgram(initrd: Uint8Array): Uint8Array {
  const path = join(folder, 'program')
  const compiled = spawnSync('gcc', ['-O1', '-static', '-x', 'c', '-', '-o', path], { input: PROGRAM })
  if (compiled.status !== 0) throw new Error(String(compiled.stderr))
  return Buffer.concat([initrd, writeCpio([{ kind: 'file', path: 'program', mode: 0o755, data: readFileSync(path) }])])
}

test.runIf(linux !== undefined)(
  `Linux's sockets reach Unix sockets of the host, and theirs reach Linux${skipNote(linux !== undefined, 'there is no apt or no gcc')}`,
  async () => {
    const uds = join(folder, 'v.sock')
    const host = await UnixVsock.open(uds)
    expect(statSync(uds).mode & 0o777).toBe(0o600)
    await expect(UnixVsock.open(uds)).rejects.toMatchObject({ code: 'ERR_OPTION' })
    const options = (vsock: UnixVsock) => ({
      memoryBytes: 128 << 20,
      jit: true,
      kernel: readFileSync(linux!.kernelPath),
      initrd: withProgram(linux!.initrd),
      commandLine: `${TO_DEVICES} rdinit=/auto`,
      virtio: [{ kind: 'vsock', cid: 3, host: vsock } as const],
    })
    // Before there is a driver, a connection is closed.
    await expect(echoed(uds, new Uint8Array(1))).rejects.toThrow('not accepted')
    const pc = await createPc(options(host))
    const listening = printed(pc, 'listening')
    void pc.run()
    await listening
    const sent = [MIB, MIB, ...Array.from({ length: 18 }, () => 10_000)].map((bytes) => randomBytes(bytes))
    const back = await Promise.all(sent.map((bytes) => echoed(uds, bytes)))
    expect(back.map(sha256)).toEqual(sent.map(sha256))

    // Nobody listens at the guest's port 7, and now somebody at the host's port 52.
    const refused = await new Promise<string>((resolve) => {
      const socket = connect(uds)
      socket.write('CONNECT 7\n')
      socket.on('data', (part: Buffer) => resolve(String(part)))
      socket.on('close', () => resolve('closed'))
    })
    expect(refused).toBe('closed')
    const heard = new Promise<string>((resolve) => {
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        let text = ''
        socket.on('data', (part: Buffer) => (text += String(part)))
        socket.on('end', () => {
          socket.end('from the host')
          server.close()
          resolve(text)
        })
      }).listen(`${uds}_52`)
    })
    const answered = printed(pc, 'answer: from the host')
    expect(await heard).toBe('hello')
    await answered

    // Where it was saved, its connections are no more; it listens on.
    const open = connect(uds)
    open.write('CONNECT 1000\nx')
    await new Promise((resolve) => open.once('data', resolve))
    const closed = new Promise((resolve) => open.once('close', resolve))
    await pc.restore(await pc.save({ forRestore: true }))
    await closed
    expect(sha256(await echoed(uds, sent[0]!))).toBe(sha256(sent[0]!))
    pc.close()
    host.close()
    expect(existsSync(uds)).toBe(false)
  },
  DEADLINE_MS,
)
