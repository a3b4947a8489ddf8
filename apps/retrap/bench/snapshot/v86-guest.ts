// The same on v86. Arguments: BIOS VGA-BIOS, then those of retrap-guest.ts.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { V86 } from 'v86'

const [bios = '', vgaBios = '', kernel = '', initrd = '', mebibytes = '', cmdline = '', prompt = '', rounds = ''] =
  process.argv.slice(2)
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
await new Promise<void>((resolve) => {
  let printed = ''
  emulator.add_listener('serial0-output-byte', (value: number) => {
    printed += String.fromCharCode(value)
    if (printed.endsWith(prompt)) resolve()
  })
})
const save: number[] = []
const restore: number[] = []
let state = new ArrayBuffer(0)
for (let i = 0; i < Number(rounds); i++) {
  await new Promise((resolve) => setTimeout(resolve, 200))
  const begun = performance.now()
  state = await emulator.save_state()
  save.push(performance.now() - begun)
}
for (let i = 0; i < Number(rounds); i++) {
  const begun = performance.now()
  await emulator.restore_state(state)
  restore.push(performance.now() - begun)
}
console.log(JSON.stringify({ save, restore, bytes: state.byteLength }))
process.exit(0)
