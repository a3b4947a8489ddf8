import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const BIOS_BYTES = 0x1_0000

/** Firmware that does nothing: CLI, HLT. */
function haltingBios(): Uint8Array {
  const bios = new Uint8Array(BIOS_BYTES)
  bios.set([0xfa, 0xf4], BIOS_BYTES - 16)
  return bios
}

/** A PC of QEMU's with a floppy in drive A, whose processor does nothing: a test makes the accesses (`-qtest`). */
export class QemuFloppy {
  readonly #process: ChildProcess
  readonly #folder: string
  readonly #waiting: ((line: string) => void)[] = []
  #rest = ''

  /** @param disk - what the floppy holds */
  constructor(disk: Uint8Array) {
    this.#folder = mkdtempSync(join(tmpdir(), 'retrap-floppy-'))
    writeFileSync(this.#image, disk)
    const bios = join(this.#folder, 'bios')
    writeFileSync(bios, haltingBios())
    const machine = ['-machine', 'pc', '-accel', 'tcg', '-bios', bios, '-nodefaults', '-display', 'none', '-m', '16']
    const drive = ['-drive', `if=floppy,format=raw,file=${this.#image}`]
    this.#process = spawn('qemu-system-x86_64', [...machine, ...drive, '-qtest', 'stdio', '-qtest-log', 'none'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.#process.stdout!.on('data', (bytes: Buffer) => {
      const lines = (this.#rest + bytes.toString('latin1')).split('\n')
      this.#rest = lines.pop() ?? ''
      for (const line of lines) if (!line.startsWith('IRQ')) this.#waiting.shift()?.(line)
    })
  }

  get #image(): string {
    return join(this.#folder, 'disk')
  }

  /** What the floppy holds now. */
  disk(): Uint8Array {
    return readFileSync(this.#image)
  }

  async #ask(line: string): Promise<string> {
    const answer = new Promise<string>((resolve) => this.#waiting.push(resolve))
    this.#process.stdin!.write(`${line}\n`)
    const text = await answer
    if (!text.startsWith('OK')) throw new Error(`QEMU answers ${text}`)
    return text.slice(3)
  }

  async out(port: number, value: number): Promise<void> {
    await this.#ask(`outb ${port} ${value}`)
  }

  async in(port: number): Promise<number> {
    return Number(await this.#ask(`inb ${port}`))
  }

  /** Lets a moment of the host's time pass, which is the guest's, and in which QEMU moves what DMA there is. */
  async pass(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 2))
  }

  async read(gpa: number, bytes: number): Promise<Uint8Array> {
    return Buffer.from(await this.#ask(`b64read ${gpa} ${bytes}`), 'base64')
  }

  async write(gpa: number, bytes: Uint8Array): Promise<void> {
    await this.#ask(`b64write ${gpa} ${bytes.length} ${Buffer.from(bytes).toString('base64')}`)
  }

  async stop(): Promise<void> {
    const gone = once(this.#process, 'exit')
    this.#process.kill('SIGKILL')
    await gone
    rmSync(this.#folder, { recursive: true })
  }
}
