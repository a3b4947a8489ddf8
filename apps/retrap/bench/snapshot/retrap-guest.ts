// Boots a Linux guest on retrap to its prompt, saves it, and has machines go on with it, in a process of its own.
// Arguments: KERNEL INITRD MEBIBYTES COMMAND-LINE PROMPT ROUNDS. Prints the figures as JSON.
import { readFileSync } from 'node:fs'
import { createPc, type Pc, type PcOptions, type PcSnapshot, recordPc } from '@retrap/machine'
import { writeSnapshot } from '@retrap/snapshot'

const [kernel = '', initrd = '', mebibytes = '', commandLine = '', prompt = '', rounds = ''] = process.argv.slice(2)
const image = (path: string): Uint8Array => new Uint8Array(readFileSync(path))
const options: PcOptions = { memoryBytes: Number(mebibytes) << 20, jit: true }
/** Runs a machine that goes on, up to its first instruction. @returns milliseconds since then */
async function untilFirst(machine: Pc, begun: number): Promise<number> {
  const stop = new AbortController()
  let took = NaN
  machine.domain.watchTurns({
    begin() {
      if (stop.signal.aborted) return
      took = performance.now() - begun
      stop.abort()
    },
    end() {},
  })
  await machine.run({ signal: stop.signal })
  machine.domain.watchTurns(null)
  return took
}

/** Settles when a guest is at its prompt. */
const atPrompt = (machine: Pc): Promise<void> =>
  new Promise((resolve) => {
    let printed = ''
    machine.serial.onTransmit((bytes) => {
      printed += Buffer.from(bytes).toString('latin1')
      if (printed.endsWith(prompt)) resolve()
    })
  })

/** Boots on deterministic time. @returns milliseconds to the prompt */
async function boot(isRecorded: boolean): Promise<number> {
  const begun = performance.now()
  const given: PcOptions = { ...booted, clock: 'deterministic' }
  const recorder = isRecorded ? await recordPc(given, () => undefined) : undefined
  const machine = recorder?.pc ?? (await createPc(given))
  const ready = atPrompt(machine)
  const end = new AbortController()
  const running = machine.run({ signal: end.signal })
  await ready
  const took = performance.now() - begun
  end.abort()
  await running
  machine.close()
  return took
}

const booted: PcOptions = { ...options, kernel: image(kernel), initrd: image(initrd), commandLine }
const pc = await createPc(booted)
const ready = atPrompt(pc)
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
  snapshot = await pc.save({ onResumed: (ms) => pause.push(ms), forRestore: i === Number(rounds) - 1 })
  save.push(performance.now() - begun)
}
end.abort()
await running
if (snapshot === undefined) throw new Error('no rounds')

const back: number[] = []
for (let i = 0; i < Number(rounds); i++) {
  // It runs for a second in between.
  await pc.run({ timeoutMs: 1000 })
  const begun = performance.now()
  await pc.restore(snapshot)
  back.push(await untilFirst(pc, begun))
}
pc.close()

const restore: number[] = []
for (let i = 0; i < Number(rounds); i++) {
  const begun = performance.now()
  const other = await createPc({ ...options, snapshot })
  restore.push(await untilFirst(other, begun))
  other.close()
}
let bytes = 0
const begun = performance.now()
await writeSnapshot({ description: null, ...snapshot }, (piece) => (bytes += piece.length))
const write = performance.now() - begun
// In turn, as the host is not equally busy all the time.
const boots = { plain: [] as number[], recorded: [] as number[] }
for (let i = 0; i < Number(rounds); i++) {
  boots.plain.push(await boot(false))
  boots.recorded.push(await boot(true))
}
console.log(JSON.stringify({ pause, save, back, restore, bytes, write, boots }))
