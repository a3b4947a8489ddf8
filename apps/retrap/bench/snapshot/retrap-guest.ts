// Boots a Linux guest on retrap to its prompt, saves it, and has machines go on with it, in a process of its own.
// Arguments: KERNEL INITRD MEBIBYTES COMMAND-LINE PROMPT ROUNDS. Prints the figures as JSON.
import { readFileSync } from 'node:fs'
import { createPc, type PcOptions, type PcSnapshot } from '@retrap/machine'
import { writeSnapshot } from '@retrap/snapshot'

const [kernel = '', initrd = '', mebibytes = '', commandLine = '', prompt = '', rounds = ''] = process.argv.slice(2)
const image = (path: string): Uint8Array => new Uint8Array(readFileSync(path))
const options: PcOptions = { memoryBytes: Number(mebibytes) << 20, jit: true }
const pc = await createPc({ ...options, kernel: image(kernel), initrd: image(initrd), commandLine })
const ready = new Promise<void>((resolve) => {
  let printed = ''
  pc.serial.onTransmit((bytes) => {
    printed += Buffer.from(bytes).toString('latin1')
    if (printed.endsWith(prompt)) resolve()
  })
})
const end = new AbortController()
const running = pc.run({ signal: end.signal })
await ready

const pause: number[] = []
const save: number[] = []
let snapshot: PcSnapshot | undefined
for (let i = 0; i < Number(rounds); i++) {
  // The guest runs in between.
  await new Promise((resolve) => setTimeout(resolve, 200))
  const begun = performance.now()
  snapshot = await pc.save({ onResumed: (ms) => pause.push(ms) })
  save.push(performance.now() - begun)
}
end.abort()
await running
pc.close()
if (snapshot === undefined) throw new Error('no rounds')

const restore: number[] = []
for (let i = 0; i < Number(rounds); i++) {
  const begun = performance.now()
  const other = await createPc({ ...options, snapshot })
  const stop = new AbortController()
  other.domain.watchTurns({
    begin() {
      if (stop.signal.aborted) return
      restore.push(performance.now() - begun)
      stop.abort()
    },
    end() {},
  })
  await other.run({ signal: stop.signal })
  other.close()
}
let bytes = 0
const begun = performance.now()
await writeSnapshot({ description: null, ...snapshot }, (piece) => (bytes += piece.length))
console.log(JSON.stringify({ pause, save, restore, bytes, write: performance.now() - begun }))
