/** Options as a recording has them: its run is the same again without any of what the machine was made with. */
import { type ByteStreamBackend, defineDevice } from '@retrap/device'
import { MemoryShare } from '@retrap/virtio/p9'
import { saveVcpuRegisters } from '@retrap/x86-cpu'
import { describe, expect, test } from 'vitest'
import * as machine from '../src/index.ts'
import { fullPc } from './support/full-machines.ts'
import { idleFirmware } from './support/idle-guest.ts'

const registers = ({ domain }: machine.Pc): unknown => domain.vcpus.map(({ cpu }) => saveVcpuRegisters(cpu))

describe.each(['pc', 'q35'] as const)('a %s with a device of every kind', (board) => {
  test('is replayed by the options of its bundle', async () => {
    const full = fullPc(board)
    const line: ByteStreamBackend = { send() {}, connect() {}, ready() {} }
    const options: machine.PcOptions = {
      ...{ ...full, firmware: idleFirmware(3000), commandLine: 'a b', cpu: 'core2' },
      virtio: [
        ...(full.virtio ?? []),
        { kind: 'console', ports: [{ stream: line }] },
        { kind: 'share', share: new MemoryShare(), tag: 'host' },
      ],
    }
    const { options: plain, images } = machine.bundleOptions(options)
    const pieces: Uint8Array[] = []
    const recorder = await machine.recordPc(options, (bytes) => pieces.push(bytes), {
      about: plain,
      images,
      keepsPace: true,
    })
    const { pc } = recorder
    pc.serial.receive(Buffer.from('abc'))
    await pc.run({ timeoutMs: 150 })
    pc.serial.receive(Buffer.from('d'))
    await pc.run({ timeoutMs: 100 })
    const expected = registers(pc)
    await recorder.end()
    pc.close()
    const file = Buffer.concat(pieces)
    const source = { bytes: file.length, read: (at: number, bytes: number) => file.subarray(at, at + bytes) }
    const again = machine.optionsOfBundle({ options: JSON.parse(JSON.stringify(plain)) as object, images })
    const replay = await machine.replayPc(again, source)
    expect(await replay.run()).toEqual({ reason: 'end-of-recording' })
    expect(replay.instructions).toBeGreaterThan(1000)
    expect(registers(replay.pc)).toEqual(expected)
    replay.close()
  })
})

test('a file that promises more images than it has is refused at once', async () => {
  const pieces: Uint8Array[] = []
  const about = { version: 1, bundle: {}, images: 2 ** 50 }
  const options: machine.PcOptions = { memoryBytes: 4 << 20, firmware: idleFirmware(3000), clock: 'deterministic' }
  const recorder = await machine.recordPc(options, (bytes) => pieces.push(bytes), { about })
  await recorder.end()
  recorder.pc.close()
  const file = Buffer.concat(pieces)
  const source = { bytes: file.length, read: (at: number, bytes: number) => file.subarray(at, at + bytes) }
  await expect(machine.openBundle(source)).rejects.toThrow(/expected as many as the recording has inside and names/)
})

test('models of the caller are in no bundle; one that lacks an image is refused', () => {
  const device = defineDevice({
    name: 'mine',
    stateless: true,
    mmio: { base: 0xfed9_0000, size: 0x1000 },
    read: () => 1,
  })
  expect(() => machine.bundleOptions({ ...fullPc('pc'), devices: [device] })).toThrow(/models of your own, vsocks/)
  const { options } = machine.bundleOptions(fullPc('pc'))
  expect(() => machine.optionsOfBundle({ options, images: [] })).toThrow('it lacks image 0')
  expect(() => machine.optionsOfBundle({ options: {}, images: [] })).toThrow('it has no options of a machine')
})
