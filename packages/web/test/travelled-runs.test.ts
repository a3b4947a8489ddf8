/** A page's recording stays within its bytes, and says where it begins. */
import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { bundleOptions, type PcOptions, recordPc } from '@retrap/machine'
import { RecordedMachine } from '../src/worker/recorded-machine.ts'
import { openRecordingFile, recordedRun, replayedRun, type TravelledRun } from '../src/worker/travelled-runs.ts'
import { tickingGuest } from './support/guests.ts'

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
    run.mark(noise(i))
    // oxlint-disable-next-line no-await-in-loop -- on and on
    await runOn(run)
    most = Math.max(most, run.bytes)
  }
  expect(most).toBeLessThan(MOST_BYTES)
  const { begin, now } = await machine.position()
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
    const history = { ...opened.history, [part as string]: value }
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    await expect(replayedRun(options, { ...opened, history })).rejects.toThrow('its history has another form')
  }
  const again = await replayedRun(options, opened)
  const other = new RecordedMachine(again, () => undefined)
  expect(await other.position()).toEqual({ instruction: now, now, begin, isLive: true })
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
