import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createConnection, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const FRAME_BUFFER = 0xfd00_0000

/** A picture: one word 0x00RRGGBB a pixel. */
export interface Dump {
  readonly width: number
  readonly height: number
  readonly pixels: Uint32Array
}

/** A PC of QEMU's with its standard VGA, whose processor does nothing: a test makes the accesses (`-qtest`). */
export class QemuVga {
  readonly #process: ChildProcess
  readonly #folder: string
  readonly #monitor: Socket
  readonly #waiting: ((line: string) => void)[] = []
  #rest = ''
  #monitorText = ''

  private constructor(process: ChildProcess, folder: string, monitor: Socket) {
    this.#process = process
    this.#folder = folder
    this.#monitor = monitor
    process.stdout!.on('data', (bytes: Buffer) => {
      const lines = (this.#rest + bytes.toString('latin1')).split('\n')
      this.#rest = lines.pop() ?? ''
      for (const line of lines) if (!line.startsWith('IRQ')) this.#waiting.shift()?.(line)
    })
    monitor.on('data', (bytes: Buffer) => (this.#monitorText += bytes.toString('latin1')))
  }

  static async start(): Promise<QemuVga> {
    const folder = mkdtempSync(join(tmpdir(), 'retrap-vga-'))
    const socket = join(folder, 'qmp')
    const machine = '-machine pc -accel tcg -S -nodefaults -vga std -display none -m 16'.split(' ')
    const monitorArguments = ['-qmp', `unix:${socket},server=on,wait=off`]
    const process = spawn(
      'qemu-system-x86_64',
      [...machine, '-qtest', 'stdio', '-qtest-log', 'none', ...monitorArguments],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    )
    for (let tries = 0; ; tries++) {
      const monitor = createConnection(socket)
      try {
        await once(monitor, 'connect')
      } catch (error) {
        if (tries === 200) throw error
        await new Promise((resolve) => setTimeout(resolve, 50))
        continue
      }
      const qemu = new QemuVga(process, folder, monitor)
      await qemu.#command('qmp_capabilities', {})
      // The frame buffer's BAR, and memory decoding, of device 2.
      await qemu.send(['outl 0xcf8 0x80001010', `outl 0xcfc ${FRAME_BUFFER}`, 'outl 0xcf8 0x80001004', 'outw 0xcfc 3'])
      return qemu
    }
  }

  /** Sends lines of the qtest protocol, and returns what each is answered, without its `OK`. */
  async send(lines: readonly string[]): Promise<string[]> {
    const answers = Promise.all(lines.map(() => new Promise<string>((resolve) => this.#waiting.push(resolve))))
    this.#process.stdin!.write(lines.map((line) => `${line}\n`).join(''))
    return (await answers).map((answer) => {
      if (!answer.startsWith('OK')) throw new Error(`QEMU answers ${answer}`)
      return answer.slice(3)
    })
  }

  /** The line that makes the first bytes of the frame buffer 0. */
  clearing(bytes: number): string {
    return `memset ${FRAME_BUFFER} ${bytes} 0`
  }

  /** The first bytes of the frame buffer. */
  async memory(bytes: number): Promise<Uint8Array> {
    const [text = ''] = await this.send([`b64read ${FRAME_BUFFER} ${bytes}`])
    return Buffer.from(text, 'base64')
  }

  async #command(execute: string, args: object): Promise<void> {
    this.#monitorText = ''
    this.#monitor.write(`${JSON.stringify({ execute, arguments: args })}\n`)
    for (let tries = 0; !this.#monitorText.includes('"return"'); tries++) {
      if (tries === 5000 || this.#monitorText.includes('"error"')) throw new Error(`QMP: ${this.#monitorText}`)
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
  }

  /** The screen. */
  async screen(): Promise<Dump> {
    const filename = join(this.#folder, 'screen.ppm')
    await this.#command('screendump', { filename })
    const bytes = readFileSync(filename)
    const [header = '', width = '', height = ''] =
      /^P6\n(\d+) (\d+)\n255\n/.exec(bytes.subarray(0, 40).toString('latin1')) ?? []
    const pixels = new Uint32Array(Number(width) * Number(height))
    // QEMU 7.2 fills rows up to whole words, which is not PPM.
    const stride = (bytes.length - header.length) / Number(height)
    for (let i = 0; i < pixels.length; i++) {
      const [x, y] = [i % Number(width), Math.floor(i / Number(width))]
      pixels[i] = bytes.readUIntBE(header.length + y * stride + 3 * x, 3)
    }
    return { width: Number(width), height: Number(height), pixels }
  }

  async stop(): Promise<void> {
    const gone = once(this.#process, 'exit')
    this.#monitor.destroy()
    this.#process.kill('SIGKILL')
    await gone
    rmSync(this.#folder, { recursive: true })
  }
}
