/** A page's recording stays within its bytes, and says where it begins. */
import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { bundleOptions, type Pc, type PcOptions, recordPc, replayPc } from '@retrap/machine'
import { RecordedMachine } from '../src/worker/recorded-machine.ts'
import { openRecordingFile, recordedRun, replayedRun, type TravelledRun } from '../src/worker/travelled-runs.ts'
import { lineGuest, tickingGuest } from './support/guests.ts'

const MOST_BYTES = 512 << 10

/** Text that does not become smaller. */
const noise = (seed: number): string =>
  Array.from({ length: 20_000 }, (_, i) => 33 + ((Math.imul(i + 20_000 * seed, 0x9e37_79b1) >>> 15) % 94))
    .map((code) => String.fromCharCode(code))
    .join('')

/** Runs the machine on for some milliseconds of the host's. */
async function runOn({ live }: TravelledRun): Promise<void> {
  expect(await live!.run({ timeoutMs: 30 })).toEqual({ reason: 'timeout' })
}

test('the oldest past is dropped', { timeout: 30_000 }, async () => {
  const firmware = tickingGuest()
  const options: PcOptions = { firmware, memoryBytes: 16 << 20, codeCacheBytes: 4 << 20 }
  const page = { images: {}, drives: null, shared: false }
  const run = await recordedRun(options, page, MOST_BYTES)
  const machine = new RecordedMachine(run, () => undefined)
  let most = 0
  for (let i = 0; run.begin === 0 && i < 200; i++) {
    run.mark(noise(i), run.now)
    await runOn(run)
    most = Math.max(most, run.bytes)
  }
  expect(most).toBeLessThan(MOST_BYTES)
  const { begin, now, guestMs } = await machine.position()
  expect([begin > 0, begin]).toEqual([true, run.begin])
  await expect(machine.travel({ to: begin - 1 })).rejects.toThrow(`expected a whole number from ${begin} to ${now}`)
  expect(await machine.travel({ to: begin })).toEqual({ reason: 'step' })
  expect(await machine.travel({ by: 'stepBack' })).toEqual({ reason: 'begin' })
  // The firmware wrote its vector long ago.
  expect(await machine.whoWrote({ address: 0x20n, physical: true })).toMatchObject({ by: 'unknown' })
  const { samples, marks } = machine.history()
  expect([...samples, ...marks].every(({ instruction }) => instruction >= begin)).toBe(true)
  await machine.travel({ to: now })
  const hash = await machine.stateHash()
  const opened = await openRecordingFile(await run.file())
  machine.close()
  for (const [part, value] of [
    ['samples', [{ instruction: 0 }]],
    ['marks', [null]],
    ['output', { from: 0, characters: 7 }],
  ]) {
    const history = { ...opened.history!, [part as string]: value }
    await expect(replayedRun(options, { ...opened, history })).rejects.toThrow('its history has another form')
  }
  const again = await replayedRun(options, opened)
  const other = new RecordedMachine(again, () => undefined)
  expect(await other.position()).toEqual({ instruction: now, now, begin, guestMs, isLive: true })
  expect(await other.stateHash()).toBe(hash)
  other.close()
})

test('an image that a recording names is found beside it, or named where it is missing or another', async () => {
  const firmware = tickingGuest()
  const options: PcOptions = { firmware, memoryBytes: 16 << 20, codeCacheBytes: 4 << 20, clock: 'deterministic' }
  const { options: bundle, images } = bundleOptions(options)
  const hash = createHash('sha256').update(firmware).digest('hex')
  const named = [{ name: '/boot/guest.bin', bytes: firmware.length, sha256: hash }]
  const pieces: Uint8Array<ArrayBuffer>[] = []
  const write = (bytes: Uint8Array): void => void pieces.push(bytes.slice() as Uint8Array<ArrayBuffer>)
  const about = { version: 1, bundle, images: images.length, named }
  const recorder = await recordPc(options, write, { about, checkpointMs: Infinity })
  await recorder.end()
  recorder.pc.close()
  const file = new Blob(pieces)
  const asked: string[] = []
  const opened = await openRecordingFile(file, async (name) => {
    asked.push(name)
    return firmware
  })
  expect([asked, opened.options.firmware]).toEqual([['guest.bin'], firmware])
  await expect(openRecordingFile(file)).rejects.toThrow(
    `recording: the image /boot/guest.bin of this recording is missing: put a file of ${firmware.length} bytes there`,
  )
  await expect(openRecordingFile(file, async () => new Uint8Array(1))).rejects.toThrow(`expected ${hash}`)
})

/** A recording as the command line makes it. @returns its file, and what the guest has printed */
async function recordedByCommandLine(checkpointMs: number): Promise<{ file: Blob; printed: string }> {
  const options: PcOptions = { firmware: lineGuest(), memoryBytes: 16 << 20, clock: 'deterministic' }
  const { options: bundle, images } = bundleOptions(options)
  const pieces: Uint8Array<ArrayBuffer>[] = []
  const write = (bytes: Uint8Array): void => void pieces.push(bytes.slice() as Uint8Array<ArrayBuffer>)
  const about = { version: 1, bundle, images: images.length }
  const recorder = await recordPc(options, write, { about, images, checkpointMs })
  const { pc } = recorder
  let printed = ''
  pc.serial.onTransmit((bytes) => void (printed += latin1(bytes)))
  for (const letter of 'abcdefgq') {
    pc.serial.receive(Buffer.from(letter))
    recorder.mark(`before ${letter}`)
    await pc.run({ timeoutMs: 20 })
  }
  await recorder.end()
  pc.close()
  return { file: new Blob(pieces), printed }
}

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

/** The page's view of an instant: of `to`, and where a machine is. */
async function seenAt(machine: RecordedMachine, to: number): Promise<{ text: string; guestMs: number }> {
  await machine.travel({ to })
  return {
    text: latin1(machine.run.history.consoleOf(await machine.seen())),
    guestMs: (await machine.position()).guestMs,
  }
}

test('a recording of another program is shown as a replay knows it, with its history and without', async () => {
  const { file, printed } = await recordedByCommandLine(1)
  const opened = await openRecordingFile(file)
  const run = await replayedRun(opened.options, opened)
  const repeated = await replayedRun(opened.options, { ...opened, history: undefined })
  const history = run.history.save(0)
  expect(repeated.history.save(0)).toEqual(history)
  const machine = new RecordedMachine(run, () => undefined)
  const { instruction: end } = await machine.position()
  // What is no terminal's gets the line ends of one.
  const shown = (text: string): string => text.replaceAll('\n', '\r\n')
  expect([printed, (await seenAt(machine, end)).text]).toEqual(['a\nb\nc\nd\ne\nf\ng\nq\n', shown(printed)])
  // A replay that takes no checkpoint prints all that comes on its way.
  const source = { bytes: file.size, read: async (at: number, bytes: number) => file.slice(at, at + bytes).bytes() }
  let heard = ''
  const onMachine = (pc: Pc): void => pc.serial.onTransmit((bytes) => void (heard += latin1(bytes)))
  const replay = await replayPc(opened.options, source, { onMachine, checkpointMs: Infinity })
  for (let to = 1; to <= end; to += 41) {
    await replay.goto(to)
    expect([to, await seenAt(machine, to)]).toEqual([to, { text: shown(heard), guestMs: replay.ns / 1e6 }])
  }
  // A mark leads to where its line has ended, or to where the user has set it.
  const [lines, own] = ['serial', 'own'].map((wanted) => history.marks.filter(({ kind }) => kind === wanted))
  expect(own!.map(({ instruction, text }) => [text, instruction])).toEqual(
    replay.marks.map(({ name, instructions }) => [name, instructions]),
  )
  for (const [i, { instruction, text }] of lines!.entries())
    expect([text, (await seenAt(machine, instruction)).text]).toEqual([
      'abcdefgq'[i],
      shown(printed.slice(0, 2 * i + 2)),
    ])
  const { samples } = machine.history()
  expect(samples.at(-1)).toMatchObject({ instruction: end, guestMs: (await seenAt(machine, end)).guestMs })
  for (const one of [run, repeated, replay]) one.close()
})
