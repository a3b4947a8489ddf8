/** A replay has the flash memories of its recording, whatever has become of their media. */
import type { BlockBackend } from '@retrap/device'
import { DebugExit } from '@retrap/devices'
import { endFirmware, enterFlat, FIRMWARE_BASE } from '@retrap/x86-assembler/guest-code'
import { al, Assembler, byte, dx, imm16, imm32 } from '@retrap/x86-assembler'
import { expect, test } from 'vitest'
import { type PcOptions, recordPc, replayPc } from '../src/index.ts'
import { flashFacts, recordedFlash } from '../src/recording/recorded-flash.ts'
import { medium } from './support/media.ts'

const EXIT_PORT = 0x501
const BYTES = 0x1_0000
/** A byte of the second flash, which lies below the first. */
const VARIABLE = 0xfffe_0005 | 0
const PROGRAM = 0x40
const READ_ARRAY = 0xff
const WRITTEN = 0x3c

/** Firmware that programs a byte of the second flash, and ends with what it read there before. */
function firmware(): Uint8Array {
  const asm = new Assembler({ bits: 16, address: FIRMWARE_BASE })
  enterFlat(asm, 0x7000)
  asm.mov(al, byte(VARIABLE)).push(imm32(0)).mov(byte(0x7100), al)
  asm.mov(al, PROGRAM).mov(byte(VARIABLE), al).mov(al, WRITTEN).mov(byte(VARIABLE), al)
  asm.mov(al, READ_ARRAY).mov(byte(VARIABLE), al)
  asm.mov(dx, imm16(EXIT_PORT)).mov(al, byte(0x7100)).out(dx, al).hlt()
  endFirmware(asm)
  return asm.assemble().bytes
}

/** A flash that is kept. */
function keptFlash(bytes: Uint8Array): { medium: BlockBackend; writes: number[] } {
  const writes: number[] = []
  const read = medium(bytes)
  const write = async (offset: number, from: Uint8Array): Promise<void> => {
    writes.push(offset)
    bytes.set(from, offset)
  }
  const properties = { ...read.properties, blockBytes: 1, readOnly: false }
  return { medium: { ...read, properties, write }, writes }
}

const options = (code: BlockBackend, variables: BlockBackend): PcOptions => ({
  memoryBytes: 4 << 20,
  clock: 'deterministic',
  flash: [{ medium: code }, { medium: variables }],
  devices: [new DebugExit({ iobase: EXIT_PORT })],
})

test('a replay has the flash memories of its recording, and leaves their media alone', async () => {
  const bytes = new Uint8Array(BYTES).fill(0xff)
  const kept = keptFlash(bytes)
  const pieces: Uint8Array[] = []
  const recorder = await recordPc(options(medium(firmware()), kept.medium), (piece) => void pieces.push(piece.slice()))
  const exit = await recorder.pc.run({ timeoutMs: 60_000 })
  expect(exit).toEqual({ reason: 'debug-exit', code: (0xff << 1) | 1 })
  await recorder.end()
  recorder.pc.close()
  expect(bytes[5]).toBe(WRITTEN)
  expect(kept.writes.length).toBeGreaterThan(0)
  kept.writes.length = 0

  const file = new Uint8Array(Buffer.concat(pieces))
  const source = { bytes: file.length, read: (at: number, length: number) => file.subarray(at, at + length) }
  // Neither is what it was: the code is gone, and the variable has been written.
  const later = options(medium(new Uint8Array(BYTES)), kept.medium)
  const replay = await replayPc(later, source)
  expect(await replay.run({ timeoutMs: 60_000 })).toEqual(exit)
  expect(await replay.goto(0)).toEqual({ reason: 'arrived' })
  expect(await replay.run({ timeoutMs: 60_000 })).toEqual(exit)
  replay.close()
  expect(kept.writes).toEqual([])

  const fewer = { ...later, flash: later.flash!.slice(1) }
  await expect(replayPc(fewer, source)).rejects.toMatchObject({ code: 'ERR_OPTION' })
})

test('a flash of an Arm board is recorded without its erased end', async () => {
  const [facts] = await flashFacts([{ medium: medium(new Uint8Array(64 << 20).fill(0xff)) }])
  expect(facts).toEqual({ readOnly: true, contents: '/w==', bytes: 64 << 20 })
})

test.each([1, 4095, 4096, 4097])('firmware of %i bytes for an Arm board comes back as it was', async (length) => {
  const flash = [{ medium: medium(Uint8Array.from({ length }, (_, i) => i)) }]
  const facts = await flashFacts(flash)
  expect(await flashFacts(recordedFlash(flash, facts))).toEqual(facts)
})

test('what a file has in the place of flash memories may be anything', () => {
  const flash = [{ medium: medium(new Uint8Array(BYTES)) }]
  const shapes: unknown[] = [[null], [{}], [{ readOnly: true, contents: '%' }], [{ contents: 5 }], 'x', [[]], undefined]
  shapes.push([{ readOnly: true, contents: '/w==' }])
  for (const facts of shapes) {
    expect(() => recordedFlash(flash, facts as [])).toThrow(expect.objectContaining({ code: 'ERR_DAMAGED' }))
  }
})
