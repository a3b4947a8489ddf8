import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { QemuPc } from './qemu-pc.ts'

/** A PC of QEMU's with a floppy in drive A. */
export class QemuFloppy extends QemuPc {
  /** @param disk - what the floppy holds */
  static async start(disk: Uint8Array): Promise<QemuFloppy> {
    const qemu = new QemuFloppy()
    writeFileSync(qemu.#image, disk)
    await qemu.begin('-machine', 'pc', '-drive', `if=floppy,format=raw,file=${qemu.#image}`)
    return qemu
  }

  get #image(): string {
    return join(this.folder, 'disk')
  }

  /** What the floppy holds now. */
  disk(): Uint8Array {
    return readFileSync(this.#image)
  }

  async out(port: number, value: number): Promise<void> {
    await this.ask(`outb ${port} ${value}`)
  }

  async in(port: number): Promise<number> {
    return Number(await this.ask(`inb ${port}`))
  }

  /** Lets a moment of the host's time pass, which is the guest's, and in which QEMU moves what DMA there is. */
  async pass(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 2))
  }

  async read(gpa: number, bytes: number): Promise<Uint8Array> {
    return Buffer.from(await this.ask(`b64read ${gpa} ${bytes}`), 'base64')
  }

  async write(gpa: number, bytes: Uint8Array): Promise<void> {
    await this.ask(`b64write ${gpa} ${bytes.length} ${Buffer.from(bytes).toString('base64')}`)
  }
}
