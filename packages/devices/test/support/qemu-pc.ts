import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Lines } from '@retrap/tooling/qtest'

const BIOS_BYTES = 0x1_0000

/** A PC of QEMU's whose processor does nothing: a test makes the accesses (`-qtest`). */
export class QemuPc {
  protected readonly folder = mkdtempSync(join(tmpdir(), 'retrap-qemu-'))
  #process!: ChildProcess
  #accesses!: Lines
  #monitor!: Lines

  protected async begin(...options: readonly string[]): Promise<void> {
    const bios = join(this.folder, 'bios')
    // CLI, HLT.
    writeFileSync(bios, new Uint8Array(BIOS_BYTES).with(BIOS_BYTES - 16, 0xfa).with(BIOS_BYTES - 15, 0xf4))
    const path = join(this.folder, 'monitor')
    const server = createServer().listen(path)
    await once(server, 'listening')
    const machine = ['-accel', 'tcg', '-bios', bios, '-nodefaults', '-display', 'none', '-m', '16', ...options]
    const test = ['-qtest', 'stdio', '-qtest-log', 'none', '-qmp', `unix:${path}`]
    const process = spawn('qemu-system-x86_64', [...machine, ...test], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#process = process
    this.#accesses = new Lines(
      (line) => process.stdin.write(line),
      (line) => !line.startsWith('IRQ'),
    )
    process.stdout.on('data', (bytes: Buffer) => this.#accesses.take(bytes))
    const [monitor] = (await once(server, 'connection')) as [Socket]
    server.close()
    this.#monitor = new Lines(
      (line) => monitor.write(line),
      (line) => line.startsWith('{"return"') || line.startsWith('{"error"'),
    )
    monitor.on('error', () => {})
    monitor.on('data', (bytes: Buffer) => this.#monitor.take(bytes))
    await this.command('qmp_capabilities')
  }

  /** Sends a line of the qtest protocol, and returns its answer without `OK`. */
  async ask(line: string): Promise<string> {
    const text = await this.#accesses.ask(line)
    if (!text.startsWith('OK')) throw new Error(`QEMU answers ${text}`)
    return text.slice(3)
  }

  async command(execute: string, given: object = {}): Promise<void> {
    const answer = await this.#monitor.ask(JSON.stringify({ execute, arguments: given }))
    if (answer.startsWith('{"error"')) throw new Error(`QEMU answers ${answer}`)
  }

  async stop(): Promise<void> {
    const gone = once(this.#process, 'exit')
    this.#process.kill('SIGKILL')
    await gone
    rmSync(this.folder, { recursive: true })
  }
}
