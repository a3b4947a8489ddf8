import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Lines } from '@retrap/tooling/qtest'

const BIOS_BYTES = 0x1_0000
const EXPRESS = 0x10

/** A q35 of QEMU's with a root port at device 3, whose processor does nothing: a test makes the accesses. */
export class QemuPort {
  readonly #process: ChildProcess
  readonly #folder: string
  readonly #accesses: Lines
  readonly #monitor: Lines
  #express = 0

  private constructor(process: ChildProcess, folder: string, monitor: Socket) {
    this.#process = process
    this.#folder = folder
    this.#accesses = new Lines(
      (line) => process.stdin!.write(line),
      (line) => !line.startsWith('IRQ'),
    )
    process.stdout!.on('data', (bytes: Buffer) => this.#accesses.take(bytes))
    this.#monitor = new Lines(
      (line) => monitor.write(line),
      (line) => line.startsWith('{"return"') || line.startsWith('{"error"'),
    )
    monitor.on('error', () => {})
    monitor.on('data', (bytes: Buffer) => this.#monitor.take(bytes))
  }

  /** @param devices - `-device` options of what is in the slot `rp1` from power-on */
  static async start(...devices: readonly string[]): Promise<QemuPort> {
    const folder = mkdtempSync(join(tmpdir(), 'retrap-port-'))
    const bios = join(folder, 'bios')
    // CLI, HLT.
    writeFileSync(bios, new Uint8Array(BIOS_BYTES).with(BIOS_BYTES - 16, 0xfa).with(BIOS_BYTES - 15, 0xf4))
    const server = createServer()
    const path = join(folder, 'monitor')
    server.listen(path)
    await once(server, 'listening')
    const native = ['-global', 'ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off']
    const machine = ['-machine', 'q35', '-accel', 'tcg', '-bios', bios, '-nodefaults', '-display', 'none', '-m', '16']
    const port = ['-device', 'pcie-root-port,id=rp1,addr=3,port=3,slot=3,chassis=1']
    const test = ['-qtest', 'stdio', '-qtest-log', 'none', '-qmp', `unix:${path}`]
    const process = spawn(
      'qemu-system-x86_64',
      [...machine, ...native, ...port, ...devices.flatMap((device) => ['-device', device]), ...test],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    )
    const [monitor] = (await once(server, 'connection')) as [Socket]
    server.close()
    const qemu = new QemuPort(process, folder, monitor)
    await qemu.command('qmp_capabilities')
    await qemu.write(0x18, 4, 0x0001_0100)
    qemu.#express = await qemu.#find(EXPRESS)
    return qemu
  }

  /** A command of its monitor. */
  async command(execute: string, given: object = {}): Promise<void> {
    const answer = await this.#monitor.ask(JSON.stringify({ execute, arguments: given }))
    if (answer.startsWith('{"error"')) throw new Error(`QEMU answers ${answer}`)
  }

  async #ask(line: string): Promise<string> {
    const text = await this.#accesses.ask(line)
    if (!text.startsWith('OK')) throw new Error(`QEMU answers ${text}`)
    return text.slice(3)
  }

  async #find(id: number): Promise<number> {
    let at = await this.read(0x34, 1)
    while ((await this.read(at, 1)) !== id) at = await this.read(at + 1, 1)
    return at
  }

  async #access(requester: number, register: number, access: string): Promise<string> {
    await this.#ask(`outl ${0xcf8} ${0x8000_0000 + requester * 256 + (register & ~3)}`)
    const [name, ...value] = access.split(' ')
    return this.#ask([name, 0xcfc + (register & 3), ...value].join(' '))
  }

  async read(register: number, size: 1 | 2 | 4, requester = 3 << 3): Promise<number> {
    return Number(await this.#access(requester, register, `in${WIDTHS[size]}`))
  }

  async write(register: number, size: 1 | 2 | 4, value: number): Promise<void> {
    await this.#access(3 << 3, register, `out${WIDTHS[size]} ${value}`)
  }

  register(offset: number, size: 2 | 4 = 2): Promise<number> {
    return this.read(this.#express + offset, size)
  }

  setRegister(offset: number, value: number): Promise<void> {
    return this.write(this.#express + offset, 2, value)
  }

  async stop(): Promise<void> {
    const gone = once(this.#process, 'exit')
    this.#process.kill('SIGKILL')
    await gone
    rmSync(this.#folder, { recursive: true })
  }
}

const WIDTHS = { 1: 'b', 2: 'w', 4: 'l' } as const
