/** Recordings of one guest, by each program that makes them. */
import { writeFileSync } from 'node:fs'
import { createPc, Pc, type PcForkOptions, type PcOptions } from '@retrap/machine'
import { FailureRecording } from '../../../src/commands/exec/failure-recording.ts'
import { runHere } from '../in-process.ts'
import { busyKernel, isWithinString, MEMORY_BYTES } from './guest.ts'
import { loadPage } from './page.ts'
import { lookAtClosing, registerOf, type Seen, stateOf } from './readers.ts'

/** Runs of a millisecond, until one ends within a string instruction. */
const MOST_MORE = 1000

/** How a run goes. */
export interface RunOf {
  /** Typed in the middle. */
  readonly keys: string
  /** Host time before that, and behind it. */
  readonly ms: number
  /** It ends within a string instruction. */
  readonly fills: boolean
  /** The command line's has checkpoints: one is at its end. */
  readonly checkpoints: boolean
}

const MACHINE: PcOptions = { memoryBytes: MEMORY_BYTES, codeCacheBytes: 4 << 20, boot: { mirrorsScreen: false } }

/** @returns the machine at its end */
async function runOn(pc: Pc, { keys, ms, fills }: RunOf, mark?: (name: string) => void): Promise<() => Seen> {
  let printed = ''
  pc.serial.onTransmit((bytes) => (printed += Buffer.from(bytes).toString()))
  await pc.run({ timeoutMs: ms })
  mark?.('typed')
  for (const byte of Buffer.from(fills ? `${keys}r` : keys)) pc.serial.receive(Uint8Array.of(byte))
  await pc.run({ timeoutMs: ms })
  for (let more = 0; fills && !isWithinString(registerOf(pc, 'rcx'), registerOf(pc, 'rdi')); more++) {
    if (more === MOST_MORE) throw new Error('the guest stops in no string instruction')
    await pc.run({ timeoutMs: 1 })
  }
  return () => stateOf(pc, printed)
}

/** The page's, from a saved machine on: its kernel is not there any more. */
async function inPage(file: string, how: RunOf): Promise<Seen> {
  const page = await loadPage()
  const first = await createPc({ ...MACHINE, kernel: busyKernel(), keepsPace: true })
  await first.run({ timeoutMs: how.ms })
  const snapshot = await page.takenNow(first, new Uint8Array())
  first.close()
  const options = { ...MACHINE, ...snapshot.onClock(true) }
  const run = await page.recordedRun(options, { images: {}, drives: null, shared: false, memoryBytes: MEMORY_BYTES })
  const machine = new page.RecordedMachine(run, () => undefined)
  const atEnd = await runOn(run.live!, how, (name) => run.mark(name))
  writeFileSync(file, Buffer.from(await (await run.file()).arrayBuffer()))
  const seen = atEnd()
  machine.close()
  return seen
}

/** `retrap run --record --record-bundle`. */
async function byCommand(file: string, { keys, ms, fills, checkpoints }: RunOf): Promise<Seen> {
  const kernel = `${file}.kernel`
  writeFileSync(kernel, busyKernel())
  const args = ['run', '--kernel', kernel, '--memory', `${MEMORY_BYTES >> 20}M`, '--pace', 'on']
  const how = ['--record', file, '--record-bundle', '--timeout', `${(ms * 3) / 1000}`]
  const answers = [{ to: '.', type: fills ? `${keys}r` : keys }]
  let seen: Seen | undefined
  const { stdout } = await lookAtClosing(
    Pc.prototype,
    (pc) => (seen = stateOf(pc)),
    () =>
      runHere([...args, ...how, '--record-checkpoints', checkpoints ? 'on' : 'off'], { answers, deadlineMs: 200_000 }),
  )
  // The file is enough.
  writeFileSync(kernel, '')
  return { ...seen!, printed: stdout }
}

/** `retrap exec --record-on-failure`, of a guest that has nothing of a program. */
async function byExec(file: string, how: RunOf): Promise<Seen> {
  const recording = await FailureRecording.open(file, ['exec', '--', 'false'])
  const options = { ...MACHINE, kernel: busyKernel(), cpus: 1, devices: [], deviceServers: [], clock: 'deterministic' }
  const pc = (await recording.record(options as never)) as Pc
  const atEnd = await runOn(pc, how)
  await recording.keep('it ends here')
  await recording.close()
  const seen = atEnd()
  pc.close()
  // A replay prints what the program has put out, and nothing of the kernel's.
  return { ...seen, printed: undefined }
}

/** The part of `packages/test/src/instant.ts` that is used. */
interface Instants {
  createBooted(options: PcOptions, wantsClones: boolean): Promise<Pc>
  readonly ClonedInstant: new (
    booted: Pc,
    options: PcOptions,
    changes: () => PcForkOptions,
  ) => {
    begin(): Promise<{
      readonly machine: Pc
      recording(): Promise<{ readonly bytes: Uint8Array } | undefined>
      end(): void
    }>
  }
}

/** A failing test's, from an instant on. */
async function byTest(file: string, how: RunOf): Promise<Seen> {
  const path = new URL('../../../../../packages/test/src/instant.ts', import.meta.url).href
  const instants = (await import(path)) as Instants
  const options: PcOptions = { ...MACHINE, kernel: busyKernel(), clock: 'deterministic', keepsPace: true }
  const booted = await instants.createBooted(options, true)
  await booted.run({ timeoutMs: how.ms })
  const begun = await new instants.ClonedInstant(booted, options, () => ({})).begin()
  const atEnd = await runOn(begun.machine, how)
  writeFileSync(file, (await begun.recording())!.bytes)
  const seen = atEnd()
  begun.end()
  booted.close()
  return seen
}

/** By name: makes a recording, and returns the recorded machine at its end. What a fleet leaves is that of the command. */
export const ORIGINS: Readonly<Record<string, (file: string, how: RunOf) => Promise<Seen>>> = {
  page: inPage,
  bundle: byCommand,
  exec: byExec,
  test: byTest,
}
