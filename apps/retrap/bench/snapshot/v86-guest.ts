// The same on v86. Arguments: BIOS VGA-BIOS, then those of retrap-guest.ts.
import { startLinux } from '../v86-linux.ts'

const [prompt = '', rounds = ''] = process.argv.slice(8)
const emulator = startLinux(process.argv.slice(2))
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
