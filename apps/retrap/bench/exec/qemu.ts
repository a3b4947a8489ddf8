/** The guest of `retrap exec` in QEMU, from a file of its migration. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeJob, encodeStart } from '@retrap/linux-guest/jobs/job'
import { folderName, readExecImages } from '@retrap/linux-guest/jobs/machine'
import { EXEC_PORTS, EXEC_READY, foldersTag } from '@retrap/linux-guest/linux/exec-initramfs'

const MEMORY_MEBIBYTES = 512
const DEADLINE_MS = 300_000

/**
 * QEMU does not migrate a guest that has a folder mounted: the root is mounted by the job, and not before the machine is saved.
 *
 * @returns the initial RAM disk, and the commands that it lacks
 */
function withoutRoot(initrd: Uint8Array): { readonly initrd: Uint8Array; readonly commands: string } {
  const bytes = Buffer.from(initrd)
  const [first, last] = ['mount -t 9p ', '/dev /new/dev\n']
  const from = bytes.indexOf(first)
  const end = bytes.indexOf(last, from) + last.length
  if (from < 0 || end < last.length) throw new Error('the initial RAM disk mounts no root')
  const commands = bytes.toString('latin1', from, end)
  // The file keeps its size.
  bytes.fill('#', from, end - 1)
  return { initrd: bytes, commands }
}

/** One end of a port. */
class Port {
  readonly #server: Server
  readonly connected: Promise<Socket>

  constructor(path: string) {
    const { promise, resolve } = Promise.withResolvers<Socket>()
    this.connected = promise
    this.#server = createServer(resolve).listen(path)
  }

  close(): void {
    this.#server.close()
  }
}

/** A guest of QEMU's, saved while it waits for a job. */
export class QemuGuest {
  /** An empty folder of the host, which programs may write to at the same path. */
  readonly shared: string
  readonly #folder: string
  readonly #commands: string

  private constructor(folder: string, commands: string) {
    this.#folder = folder
    this.#commands = commands
    this.shared = join(folder, foldersTag(false), folderName(0))
    mkdirSync(this.shared, { recursive: true })
  }

  /** Boots a guest, and saves it. */
  static async save(): Promise<QemuGuest> {
    const folder = mkdtempSync(join(tmpdir(), 'retrap-bench-exec-'))
    const kind = {
      arch: 'amd64',
      debian: '12',
      cpu: undefined,
      memoryBytes: 0,
      cpus: 1,
      kernel: undefined,
      devices: [],
    } as const
    const { kernel, initrd, commandLine } = await readExecImages(kind, () => {})
    const { initrd: own, commands } = withoutRoot(initrd!)
    writeFileSync(join(folder, 'kernel'), kernel!)
    writeFileSync(join(folder, 'initrd'), own)
    const guest = new QemuGuest(folder, commands)
    const images = ['-kernel', join(folder, 'kernel'), '-initrd', join(folder, 'initrd')]
    await guest.#run([...images, '-append', commandLine!], async (ports, qemu) => {
      const status = await ports.status
      await heard(status, EXEC_READY)
      // It comes to rest.
      await new Promise((resolve) => setTimeout(resolve, 1000))
      qemu.stdin!.write(`migrate "exec:cat >'${join(folder, 'state')}'"\n`)
      let said = ''
      qemu.stdout!.on('data', (bytes: Buffer) => (said += bytes.toString()))
      while (!said.includes('Migration status: completed')) {
        if (said.includes('failed')) throw new Error(said)
        qemu.stdin!.write('info migrate\n')
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    })
    return guest
  }

  /**
   * Runs a program. @param heardOutput - gets its output, and what types a line; an empty one ends the input
   *
   * @returns milliseconds
   */
  async exec(
    program: readonly string[],
    heardOutput: (bytes: Buffer, type: (line: string) => void) => void,
  ): Promise<number> {
    const begin = performance.now()
    const job = encodeJob({
      ...{ program, env: ['PATH=/usr/bin:/bin'], uid: 0, gid: 0, workingDirectory: '/', files: {} },
      ...{
        mounts: [{ path: this.shared, name: folderName(0), readOnly: false }],
        home: undefined,
        hostname: 'retrap',
        terminal: undefined,
        preparation: [],
        entropy: new Uint8Array(64),
      },
    })
    let end = NaN
    await this.#run(['-incoming', `exec:cat '${join(this.#folder, 'state')}'`], async (ports) => {
      const [jobs, status, stdin, stdout] = await Promise.all([ports.jobs, ports.status, ports.stdin, ports.stdout])
      stdout.on('data', (bytes: Buffer) =>
        heardOutput(bytes, (line) => void (line === '' ? stdin.end() : stdin.write(line))),
      )
      jobs.write(this.#commands + job + encodeStart(Date.now() / 1000))
      await heard(status, 'end 0')
      end = performance.now()
    })
    return end - begin
  }

  async #run(
    more: readonly string[],
    act: (ports: Readonly<Record<keyof typeof EXEC_PORTS, Promise<Socket>>>, qemu: ChildProcess) => Promise<void>,
  ): Promise<void> {
    const folder = mkdtempSync(join(this.#folder, 'run-'))
    const names = Object.entries(EXEC_PORTS).toSorted(([, a], [, b]) => a - b)
    const ports = names.map(([name, number]) => {
      const path = join(folder, name)
      const device = number === 0 ? 'virtconsole' : 'virtserialport'
      return {
        entry: [name, new Port(path)] as const,
        words: [
          ...['-chardev', `socket,id=${name},path=${path}`],
          ...['-device', `${device},chardev=${name},nr=${number},name=${name}`],
        ],
      }
    })
    const args = [
      ...['-accel', 'tcg', '-cpu', 'max', '-m', String(MEMORY_MEBIBYTES), '-nodefaults', '-display', 'none'],
      ...['-no-reboot', '-monitor', 'stdio', '-serial', 'null', '-device', 'virtio-serial-pci,max_ports=8'],
      ...ports.flatMap(({ words }) => words),
      ...['-fsdev', 'local,id=root,path=/,security_model=none,readonly=on,multidevs=remap'],
      ...['-device', 'virtio-9p-pci,fsdev=root,mount_tag=root'],
      ...['-fsdev', `local,id=rw,path=${join(this.shared, '..')},security_model=none`],
      ...['-device', `virtio-9p-pci,fsdev=rw,mount_tag=${foldersTag(false)}`, ...more],
    ]
    const qemu = spawn('qemu-system-x86_64', args, { stdio: ['pipe', 'pipe', 'inherit'] })
    const late = setTimeout(() => qemu.kill('SIGKILL'), DEADLINE_MS)
    const ended = new Promise((resolve) => qemu.on('close', resolve))
    qemu.stdout.resume()
    try {
      const sockets = Object.fromEntries(ports.map(({ entry: [name, port] }) => [name, port.connected]))
      await Promise.race([
        act(sockets as Parameters<typeof act>[0], qemu),
        ended.then((code) => Promise.reject(new Error(`qemu has ended with ${String(code)}`))),
      ])
    } finally {
      clearTimeout(late)
      qemu.kill('SIGKILL')
      await ended
      for (const { entry } of ports) entry[1].close()
      rmSync(folder, { recursive: true })
    }
  }

  /** Removes the files. */
  close(): void {
    rmSync(this.#folder, { recursive: true })
  }
}

/** Waits for a line of a port. */
async function heard(port: Socket, line: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  let text = ''
  const hear = (bytes: Buffer): void => {
    text += bytes.toString('latin1')
    if (text.split('\n').includes(line)) resolve()
  }
  port.on('data', hear)
  await promise
  port.off('data', hear)
}
