/** QEMU's `virt` board, whose processors perform one instruction after another: `test/native/gic.s`. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { hasProgram } from '@retrap/tooling/skip'
import { RAM, RAM_BYTES, type Board, type Operation } from './operations.ts'

const COMPILER = 'aarch64-linux-gnu-gcc'
const QEMU = 'qemu-system-aarch64'
const LINK = '-nostdlib -static -Wl,-Ttext=0x40100000 -Wl,-z,noexecstack -Wl,--build-id=none -Wl,--no-warn-rwx-segments'
const MAILBOX = 0x4100_0000
const TABLE = MAILBOX + 0x1000
const MOST_OPERATIONS = 4096
const RET = 0xd65f_03c0

/** Whether assembler and machine are there. */
export const hasQemu: boolean = hasProgram(COMPILER) && hasProgram(QEMU)

/** Sends lines, and hears one of an answer for each. */
class Lines {
  readonly #write: (line: string) => void
  readonly #isAnswer: (line: string) => boolean
  readonly #waiting: ((line: string) => void)[] = []
  #rest = ''
  #hasEnded = false

  constructor(write: (line: string) => void, isAnswer: (line: string) => boolean) {
    this.#write = write
    this.#isAnswer = isAnswer
  }

  take(bytes: Buffer): void {
    const lines = (this.#rest + bytes.toString('latin1')).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) if (this.#isAnswer(line)) this.#waiting.shift()?.(line)
  }

  /** There will be no more answers. */
  end(): void {
    this.#hasEnded = true
    for (const each of this.#waiting.splice(0)) each('the machine has ended')
  }

  ask(line: string): Promise<string> {
    if (this.#hasEnded) return Promise.resolve('the machine has ended')
    const answer = new Promise<string>((resolve) => this.#waiting.push(resolve))
    this.#write(`${line}\n`)
    return answer
  }
}

/** The instruction that performs an operation on X0 and the address in X1. */
function instruction(each: Operation): number {
  if (each.kind === 'system') return (0xd500_0000 | (each.write ? 0 : 0x20_0000) | (each.encoding << 5)) >>> 0
  if (each.kind !== 'memory') throw new Error(`no instruction is a ${each.kind}`)
  const size = { 1: 0x3900_0020, 2: 0x7900_0020, 4: 0xb900_0020, 8: 0xf900_0020 }[each.size]
  return (size | (each.write ? 0 : 0x40_0000)) >>> 0
}

/** The machine. */
export class QemuGic implements Board {
  readonly #process: ChildProcess
  readonly #folder: string
  readonly #cpus: number
  readonly #test: Lines
  readonly #monitor: Lines
  #gic = ''

  private constructor(process: ChildProcess, folder: string, cpus: number, monitor: Socket) {
    this.#process = process
    this.#folder = folder
    this.#cpus = cpus
    this.#test = new Lines(
      (line) => process.stdin!.write(line),
      (line) => !line.startsWith('IRQ'),
    )
    process.on('exit', () => {
      this.#test.end()
      this.#monitor.end()
    })
    process.stdin!.on('error', () => {})
    process.stdout!.on('data', (bytes: Buffer) => this.#test.take(bytes))
    this.#monitor = new Lines(
      (line) => monitor.write(line),
      (line) => line.startsWith('{"return"') || line.startsWith('{"error"'),
    )
    monitor.on('error', () => {})
    monitor.on('data', (bytes: Buffer) => this.#monitor.take(bytes))
  }

  /** @param machine - options of `-M virt` */
  static async start(machine: string, cpus: number): Promise<QemuGic> {
    const folder = mkdtempSync(join(tmpdir(), 'retrap-gic-'))
    const program = join(folder, 'program')
    const source = fileURLToPath(new URL('../native/gic.s', import.meta.url))
    execFileSync(COMPILER, [...LINK.split(' '), '-o', program, source])
    const server = createServer()
    const path = join(folder, 'monitor')
    server.listen(path)
    await once(server, 'listening')
    const options = `-M virt,${machine} -cpu max -smp ${cpus} -m 256 -accel tcg,thread=single -nodefaults -display none`
    const test = ['-qtest', 'stdio', '-qtest-log', 'none', '-qmp', `unix:${path}`, '-kernel', program]
    const process = spawn(QEMU, [...options.split(' '), ...test], { stdio: ['pipe', 'pipe', 'inherit'] })
    const [monitor] = (await once(server, 'connection')) as [Socket]
    server.close()
    const qemu = new QemuGic(process, folder, cpus, monitor)
    await qemu.#command('qmp_capabilities')
    const { return: devices } = await qemu.#command('qom-list', { path: '/machine/unattached' })
    const gic = (devices as { name: string; type: string }[]).find(({ type }) => /^child<arm[-_]gic(v3)?>$/.test(type))
    qemu.#gic = `/machine/unattached/${gic!.name}`
    await qemu.#ready()
    return qemu
  }

  async #command(execute: string, given: object = {}): Promise<{ return: unknown }> {
    const answer = await this.#monitor.ask(JSON.stringify({ execute, arguments: given }))
    if (!answer.startsWith('{"return"')) throw new Error(`QEMU answers ${answer}`)
    return JSON.parse(answer) as { return: unknown }
  }

  async #ask(line: string): Promise<string> {
    const text = await this.#test.ask(line)
    if (!text.startsWith('OK')) throw new Error(`QEMU answers ${text} to ${line.slice(0, 80)}`)
    return text.slice(3)
  }

  async #read(address: number, size: number): Promise<Buffer> {
    return Buffer.from((await this.#ask(`b64read ${address} ${size}`)).trim(), 'base64')
  }

  async #write(address: number, bytes: Buffer): Promise<void> {
    await this.#ask(`b64write ${address} ${bytes.length} ${bytes.toString('base64')}`)
  }

  async #setWord(address: number, value: number): Promise<void> {
    await this.#ask(`writel ${address} ${value}`)
  }

  /** Waits until the processors wait for operations. */
  async #ready(): Promise<void> {
    const wanted = Buffer.alloc(this.#cpus, 1)
    for (let i = 0; i < 1000; i++) {
      if ((await this.#read(MAILBOX + 16, this.#cpus)).equals(wanted)) return
      await setTimeout(2)
    }
    throw new Error('the processors of QEMU do not start')
  }

  async reset(): Promise<void> {
    await this.#command('stop')
    await this.#write(MAILBOX, Buffer.alloc(32))
    await this.#ask(`memset ${RAM} ${RAM_BYTES} 0`)
    await this.#command('system_reset')
    await this.#command('cont')
    await this.#ready()
  }

  async perform(operations: readonly Operation[]): Promise<(bigint | string)[]> {
    const results: (bigint | string)[] = []
    for (let i = 0; i < operations.length;) {
      const each = operations[i]!
      if (each.kind === 'line') {
        // Inputs of processors follow those of the 256 shared interrupts.
        const number = each.intid >= 32 ? each.intid - 32 : 256 + 32 * each.cpu + each.intid
        await this.#ask(`set_irq_in ${this.#gic} unnamed-gpio-in ${number} ${each.level ? 1 : 0}`)
        results.push(0n)
        i++
        continue
      }
      let end = i
      while (end < operations.length && operations[end]!.kind !== 'line' && end - i < MOST_OPERATIONS) end++
      results.push(...(await this.#batch(operations.slice(i, end))))
      i = end
    }
    return results
  }

  async #batch(operations: readonly Operation[]): Promise<(bigint | string)[]> {
    const table = Buffer.alloc(32 * operations.length)
    operations.forEach((each, i) => {
      table.writeUInt32LE(each.cpu, 32 * i)
      table.writeUInt32LE(instruction(each), 32 * i + 4)
      table.writeUInt32LE(RET, 32 * i + 8)
      if ('value' in each) table.writeBigUInt64LE(each.value, 32 * i + 16)
      if (each.kind === 'memory') table.writeBigUInt64LE(BigInt(each.address), 32 * i + 24)
    })
    await this.#write(TABLE, table)
    await this.#setWord(MAILBOX + 12, 0)
    await this.#setWord(MAILBOX + 8, 0)
    await this.#setWord(MAILBOX + 12, operations.length)
    for (let i = 0; (await this.#read(MAILBOX + 8, 4)).readUInt32LE() !== operations.length; i++) {
      if (i === 5000) throw new Error('QEMU does not come to an end')
      await setTimeout(1)
    }
    const answers = await this.#read(TABLE, table.length)
    return operations.map((each, i) => {
      const syndrome = answers.readUInt32LE(32 * i + 12)
      if (syndrome !== 0) return syndrome >>> 26 === 0 ? 'UNDEFINED' : `exception ${(syndrome >>> 26).toString(16)}`
      return 'write' in each && each.write ? 0n : answers.readBigUInt64LE(32 * i + 16)
    })
  }

  async stop(): Promise<void> {
    const gone = once(this.#process, 'exit')
    this.#process.kill('SIGKILL')
    await gone
    rmSync(this.#folder, { recursive: true })
  }
}
