/** The first checkpoint of a recording looks at what was written while the machine was made: that is all that is not zeros. */
import { CheckpointStore, RecordingWriter } from '@retrap/recording'
import { expect, test } from 'vitest'
import { Pc, type PcOptions } from '../src/index.ts'
import { CheckpointTaker, type LogPosition } from '../src/recording/checkpoints.ts'
import { describeRun } from '../src/recording/description.ts'
import { PC_RUNS } from '../src/recording/pc-runs.ts'
import { BackEndGate } from '../src/recording/back-end-gate.ts'
import { RecordGate } from '../src/recording/record-gate.ts'
import { echoFirmware } from './support/echo-guest.ts'
import { multibootKernel, pvhKernel } from './support/kernels.ts'
import { medium } from './support/media.ts'

const kernel = multibootKernel((asm) => void asm.cli().hlt())
/** A header that names itself a ROM. */
const optionRom = (): Uint8Array => {
  const bytes = new Uint8Array(512)
  bytes.set([0x55, 0xaa, 1, 0xcb])
  bytes[511] = 0x100 - ((0x55 + 0xaa + 1 + 0xcb) & 0xff)
  return bytes
}

const MACHINES: readonly [string, Omit<PcOptions, 'memoryBytes'>][] = [
  ['a kernel', { kernel }],
  [
    'a kernel of another protocol, with an initrd',
    { kernel: pvhKernel((asm) => void asm.cli().hlt()), initrd: kernel },
  ],
  ['firmware', { firmware: echoFirmware() }],
  ['firmware that is given a kernel', { firmware: echoFirmware(), kernel }],
  ['flash', { flash: [{ medium: medium(echoFirmware()) }] }],
  ['q35', { machine: 'q35', firmware: echoFirmware() }],
  ['an option ROM, and two vCPUs', { kernel, cpus: 2, optionRoms: [{ name: 'an option ROM', bytes: optionRom() }] }],
  ['a screen', { firmware: echoFirmware(), vga: 'std' }],
]

test.each(MACHINES)('with %s', async (_what, given) => {
  const options: PcOptions = { memoryBytes: 16 << 20, clock: 'deterministic', ...given }
  const description = describeRun(PC_RUNS, options, undefined)
  const gate = new RecordGate(new RecordingWriter(() => undefined, description), false, () => PC_RUNS.notes(pc.domain))
  const pcGate = new BackEndGate(gate, description.backEnds, options, true)
  const pc: Pc = await Pc.create(options, pcGate)
  const looked: number[] = []
  const pagesOf = async (sinceZeros: BackEndGate['sinceZeros']): Promise<Map<number, string>> => {
    const store = new CheckpointStore<LogPosition>(64 << 20)
    looked.push(0)
    const begin = store.wasZeros.bind(store)
    store.wasZeros = (gfn) => {
      looked[looked.length - 1]!++
      return begin(gfn)
    }
    expect(await new CheckpointTaker({ machine: pcGate.machine, gate, store, sinceZeros }).take()).toBe(true)
    const checkpoint = store.read(0)
    return new Map([...checkpoint.gfns].map((gfn, i) => [gfn, Buffer.from(checkpoint.contents(i)).toString('hex')]))
  }
  const quick = await pagesOf(pcGate.sinceZeros)
  const whole = await pagesOf(null)
  pc.close()
  expect([...quick.keys()]).toEqual([...whole.keys()])
  expect([...quick.values()]).toEqual([...whole.values()])
  // Frames that nobody has written were not looked at.
  expect(looked[0]).toBeLessThan(looked[1]! / 2)
})
