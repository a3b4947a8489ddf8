import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { QemuPc } from './qemu-pc.ts'

const FRAME_BUFFER = 0xfd00_0000

/** A picture: one word 0x00RRGGBB a pixel. */
export interface Dump {
  readonly width: number
  readonly height: number
  readonly pixels: Uint32Array
}

/** A PC of QEMU's with its standard VGA, which is stopped. */
export class QemuVga extends QemuPc {
  static async start(): Promise<QemuVga> {
    const qemu = new QemuVga()
    await qemu.begin('-machine', 'pc', '-S', '-vga', 'std')
    // The frame buffer's BAR, and memory decoding, of device 2.
    await qemu.send(['outl 0xcf8 0x80001010', `outl 0xcfc ${FRAME_BUFFER}`, 'outl 0xcf8 0x80001004', 'outw 0xcfc 3'])
    return qemu
  }

  /** Sends lines of the qtest protocol, and returns what each is answered, without its `OK`. */
  send(lines: readonly string[]): Promise<string[]> {
    return Promise.all(lines.map((line) => this.ask(line)))
  }

  /** The line that makes the first bytes of the frame buffer 0. */
  clearing(bytes: number): string {
    return `memset ${FRAME_BUFFER} ${bytes} 0`
  }

  /** The first bytes of the frame buffer. */
  async memory(bytes: number): Promise<Uint8Array> {
    return Buffer.from(await this.ask(`b64read ${FRAME_BUFFER} ${bytes}`), 'base64')
  }

  async screen(): Promise<Dump> {
    const filename = join(this.folder, 'screen.ppm')
    await this.command('screendump', { filename })
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
}
