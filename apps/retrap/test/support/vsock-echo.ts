/** A guest's program that returns what comes by its vsock port 1000, and the host's side of it. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeCpio } from '@retrap/linux-guest/linux/cpio'

/**
 * The program, without a C library: there is none for the other processor. It has a process for each peer. Sources: Linux,
 * include/uapi/linux/vm_sockets.h, include/uapi/asm-generic/unistd.h and arch/x86/entry/syscalls/syscall_64.tbl.
 */
const PROGRAM = `
#ifdef __aarch64__
enum { READ = 63, WRITE = 64, CLOSE = 57, SOCKET = 198, BIND = 200, LISTEN = 201, ACCEPT4 = 242, CLONE = 220, EXIT = 94 };
static long call(long number, long a, long b, long c, long d, long e) {
  register long x8 asm("x8") = number, x0 asm("x0") = a, x1 asm("x1") = b, x2 asm("x2") = c, x3 asm("x3") = d, x4 asm("x4") = e;
  asm volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
  return x0;
}
#else
enum { READ = 0, WRITE = 1, CLOSE = 3, SOCKET = 41, BIND = 49, LISTEN = 50, ACCEPT4 = 288, CLONE = 56, EXIT = 231 };
static long call(long number, long a, long b, long c, long d, long e) {
  register long r10 asm("r10") = d, r8 asm("r8") = e;
  long result;
  asm volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
  return result;
}
#endif
static char buffer[65536];
static const struct { unsigned short family, zero; unsigned port, cid, rest; } any = {40, 0, 1000, -1u, 0};
void _start(void) {
  long server = call(SOCKET, 40, 1, 0, 0, 0);
  if (call(BIND, server, (long)&any, sizeof any, 0, 0) || call(LISTEN, server, 100, 0, 0, 0)) call(EXIT, 1, 0, 0, 0, 0);
  call(WRITE, 1, (long)"listening\\n", 10, 0, 0);
  for (;;) {
    long peer = call(ACCEPT4, server, 0, 0, 0, 0);
    if (call(CLONE, 17, 0, 0, 0, 0) == 0) {
      long length;
      while ((length = call(READ, peer, (long)buffer, sizeof buffer, 0, 0)) > 0)
        for (long at = 0; at < length;) {
          long done = call(WRITE, peer, (long)buffer + at, length - at, 0, 0);
          if (done < 0) call(EXIT, 1, 0, 0, 0, 0);
          at += done;
        }
      call(EXIT, 0, 0, 0, 0, 0);
    }
    call(CLOSE, peer, 0, 0, 0, 0);
  }
}
`

/**
 * An initial RAM disk with the program, as `/program`.
 *
 * @param compiler - of C, for the guest's processor
 */
export function withVsockEcho(initrd: Uint8Array, compiler: string): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'retrap-vsock-echo-'))
  try {
    const path = join(folder, 'program')
    const options = '-O1 -static -nostdlib -ffreestanding -fno-stack-protector -x c - -o'.split(' ')
    const compiled = spawnSync(compiler, [...options, path], { input: PROGRAM })
    if (compiled.status !== 0) throw new Error(String(compiled.stderr))
    return Buffer.concat([
      initrd,
      writeCpio([{ kind: 'file', path: 'program', mode: 0o755, data: readFileSync(path) }]),
    ])
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Sends bytes to a port of the guest, and returns what comes back. */
export function echoed(uds: string, bytes: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: uds, allowHalfOpen: true })
    const parts: Buffer[] = []
    socket.write('CONNECT 1000\n')
    socket.end(bytes)
    socket.on('data', (part: Buffer) => parts.push(part))
    socket.on('error', reject)
    socket.on('end', () => {
      const all = Buffer.concat(parts)
      const line = all.indexOf('\n')
      if (/^OK \d+\n$/.test(all.toString('latin1', 0, line + 1))) resolve(all.subarray(line + 1))
      else reject(new Error(`the guest has not accepted: '${all.toString('latin1', 0, 40)}'`))
    })
  })
}

/** A machine whose console is looked at. */
interface Printing {
  readonly serialPorts: readonly { onTransmit(listener: (bytes: Uint8Array) => void): void }[]
}

/** Waits until a console has a text that is printed from now on. */
export function printed(machine: Printing, wanted: string): Promise<void> {
  let text = ''
  return new Promise((resolve) =>
    machine.serialPorts[0]!.onTransmit((bytes) => {
      text += Buffer.from(bytes).toString('latin1')
      if (text.includes(wanted)) resolve()
    }),
  )
}
