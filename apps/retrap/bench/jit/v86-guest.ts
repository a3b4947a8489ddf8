// Runs a Linux guest on v86, with its serial port on stdout, in a process of its own: its threads are all that count.
// Arguments: BIOS VGA-BIOS KERNEL INITRD MEBIBYTES COMMAND-LINE.
import { readFileSync, writeSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { V86 } from 'v86'

const [bios = '', vgaBios = '', kernel = '', initrd = '', mebibytes = '', cmdline = ''] = process.argv.slice(2)
const image = (path: string): { buffer: ArrayBuffer } => ({ buffer: new Uint8Array(readFileSync(path)).buffer })
const emulator = new V86({
  wasm_path: fileURLToPath(import.meta.resolve('v86').replace('libv86.mjs', 'v86.wasm')),
  bios: image(bios),
  vga_bios: image(vgaBios),
  bzimage: image(kernel),
  initrd: image(initrd),
  cmdline,
  memory_size: Number(mebibytes) << 20,
  vga_memory_size: 2 << 20,
  autostart: true,
})
const DONE = '\n@done'
let tail = ''
let pending: number[] = []
const flush = (): void => {
  writeSync(1, Uint8Array.from(pending))
  pending = []
}
emulator.add_listener('serial0-output-byte', (value: number) => {
  pending.push(value)
  tail = (tail + String.fromCharCode(value)).slice(-DONE.length)
  if (value === 10) flush()
  // It does not end by itself when the guest powers off.
  if (tail === DONE) {
    flush()
    process.exit(0)
  }
})
