// Boots a Linux guest on retrap to its prompt, forks it and has it go back to a checkpoint, in a process of its own.
// Arguments: KERNEL INITRD MEBIBYTES COMMAND-LINE PROMPT ROUNDS. Prints the figures as JSON.
import { readFileSync } from 'node:fs'
import { createPc, type Pc } from '@retrap/machine'

/** Clones that live together while their memory is measured. */
const CLONES = 100
/** Frames that are written before each reset. */
const WRITTEN_FRAMES = 50
const MIB = 1 << 20

const [kernel = '', initrd = '', mebibytes = '', commandLine = '', prompt = '', rounds = ''] = process.argv.slice(2)
const image = (path: string): Uint8Array => new Uint8Array(readFileSync(path))
const pc = await createPc({
  memoryBytes: Number(mebibytes) * MIB,
  jit: true,
  kernel: image(kernel),
  initrd: image(initrd),
  commandLine,
  forks: { clones: CLONES, writtenBytes: MIB },
})
const end = new AbortController()
const ready = new Promise<void>((resolve) => {
  let printed = ''
  pc.serial.onTransmit((bytes) => {
    printed += Buffer.from(bytes).toString('latin1')
    if (printed.endsWith(prompt)) resolve()
  })
})
const running = pc.run({ signal: end.signal })
await ready
end.abort()
await running

/** Milliseconds of processor time of this process, and of the time of day, that something takes. */
async function timed(action: () => Promise<void>): Promise<{ readonly cpu: number; readonly wall: number }> {
  const before = process.cpuUsage()
  const begun = performance.now()
  await action()
  const wall = performance.now() - begun
  const { user, system } = process.cpuUsage(before)
  return { cpu: (user + system) / 1000, wall }
}

const count = Number(rounds)
const fork = []
for (let i = 0; i < count; i++) {
  let clone: Pc | undefined
  fork.push(
    await timed(async () => {
      clone = await pc.fork()
    }),
  )
  clone?.close()
}

// What clones that have not run take: of this process, and of machine memory.
const collect = globalThis.gc ?? ((): void => undefined)
await new Promise((resolve) => setTimeout(resolve, 100))
collect()
const used = (): number => {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external - pc.memory.frames.freeFrames * 4096 - pc.memory.spareBytes
}
const before = used()
const clones: Pc[] = []
for (let i = 0; i < CLONES; i++) clones.push(await pc.fork())
collect()
const cloneBytes = (used() - before) / CLONES
for (const clone of clones.splice(0)) clone.close()

const checkpoint = await pc.checkpoint()
const reset = []
const word = new Uint8Array(8)
const write = (value: number): void => {
  word.fill(value)
  for (let i = 0; i < WRITTEN_FRAMES; i++) pc.domain.guestMemory.write(128 * MIB + i * 0x2_0000, word)
}
for (let i = 0; i < count; i++) {
  write(i + 1)
  reset.push(await timed(() => checkpoint.reset()))
}
const begun = performance.now()
for (let i = 0; i < count; i++) {
  write(i + 1)
  await checkpoint.reset()
}
const resetsPerSecond = (1000 * count) / (performance.now() - begun)
console.log(JSON.stringify({ fork, cloneBytes, reset, resetsPerSecond }))
process.exit(0)
