import fc from 'fast-check'
import { slicedCount } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { decodeSaved, encodeSaved, findInstruction, SAVED_BYTES, VapicError, VapicPatcher } from '../src/index.ts'
import { buildVapicRom } from '../src/rom.ts'
import { Guest, KERNEL, KPCR, ROM_GPA, TPR } from './support/guest.ts'

const SEED = 20_261_120
const RUNS = slicedCount(3000, 4)
const rom = buildVapicRom()
const guest = new Guest()
const address = [TPR & 255, (TPR >>> 8) & 255, (TPR >>> 16) & 255, TPR >>> 24]

/** Writes outside the ROM and outside the instruction. */
function strayWrites(site: number, romBytes: number): string[] {
  return guest.log.flatMap((line) => {
    const [kind, where = ''] = line.split(' ')
    if (kind === 'patch') return parseInt(where, 16) === site ? [] : [line]
    if (kind !== 'rom') return []
    const [at = 0, bytes = 0] = where.split('+').map((each) => parseInt(each, 16))
    return at >= ROM_GPA && at + bytes <= ROM_GPA + romBytes ? [] : [line]
  })
}

describe('whatever a guest announces and executes', () => {
  test(`nothing is written outside the ROM and the instruction (seed ${SEED})`, () => {
    const forged = fc.record({
      changes: fc.array(fc.tuple(fc.nat(rom.length - 1), fc.nat(255)), { maxLength: 8 }),
      words: fc.array(fc.tuple(fc.integer({ min: 0x28, max: 0x98 }), fc.oneof(fc.nat(0xffff_ffff), fc.nat(0x3000))), {
        maxLength: 4,
      }),
      offset: fc.oneof(fc.constant(0x20), fc.nat(0xffff)),
      code: fc.oneof(
        fc.constant([0xa1, ...address]),
        fc.constant([0x89, 0x3d, ...address]),
        fc.constant([0xc7, 0x05, ...address, 1, 2, 3, 4]),
        fc.array(fc.nat(255), { minLength: 10, maxLength: 10 }),
      ),
      vcpus: fc.constantFrom(1, 4),
      behind: fc.boolean(),
      number: fc.nat(255),
      access: fc.constantFrom('read' as const, 'write' as const),
    })
    let patched = 0
    fc.assert(
      fc.property(forged, ({ changes, words, offset, code, vcpus, behind, number, access }) => {
        const image = rom.slice()
        for (const [at, value] of changes) image[at] = value
        const view = new DataView(image.buffer)
        for (const [at, value] of words) view.setUint32(at, value, true)
        guest.board.load(ROM_GPA, image)
        const site = KERNEL + 0x5_0000
        guest.board.load(0x5_0000, Uint8Array.from(code))
        guest.setKpcr(number)
        guest.vcpuCount = vcpus
        const patcher = new VapicPatcher(guest)
        guest.registers = () => ({ eip: ROM_GPA + 3, esp: KERNEL + 0x100, fsBase: KERNEL + KPCR })
        patcher.portWrite(0, 2, offset)
        guest.log.length = 0
        const length = findInstruction(Uint8Array.from([...code, 0, 0, 0, 0, 0]))?.row.length ?? 0
        guest.registers = () => ({ eip: site + (behind ? length : 0), esp: KERNEL + 0x100, fsBase: KERNEL + KPCR })
        patcher.report(0, { access, gpa: 0xfee0_0080, behind })
        patcher.portWrite(0, 1, 0)
        patcher.portWrite(0, 4, 0)
        patched += patcher.counts.patched
        // The ROM is as long as its header says.
        expect(strayWrites(site, (image[2] as number) * 512)).toEqual([])
        expect(guest.stopped).toBe(0)
        patcher.unpatch(0)
        patcher.reset()
      }),
      { seed: SEED, numRuns: RUNS },
    )
    // The fuzz does get to patching.
    expect(patched).toBeGreaterThan(RUNS / 100)
  })
})

describe('the migration stream', () => {
  test(`is read back as it was written (seed ${SEED})`, () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: SAVED_BYTES, maxLength: SAVED_BYTES }), (bytes) => {
        bytes.fill(0, 0, 8)
        expect(encodeSaved(decodeSaved(bytes))).toEqual(bytes)
      }),
      { seed: SEED, numRuns: 300 },
    )
  })

  test('has its fields where QEMU has them', () => {
    const bytes = new Uint8Array(SAVED_BYTES)
    const view = new DataView(bytes.buffer)
    view.setUint32(8, 0x8000_0020)
    view.setUint32(8 + 7 * 4, 0x1111)
    view.setUint32(8 + 18 * 4, 0x2222)
    view.setUint32(8 + 29 * 4, 2)
    view.setUint32(8 + 33 * 4, 0xc_8020)
    const saved = decodeSaved(bytes)
    expect(saved.rom_state.vaddr).toBe(0x8000_0020)
    expect(saved.rom_state.up.set_tpr).toBe(0x1111)
    expect(saved.rom_state.mp.set_tpr).toBe(0x2222)
    expect([saved.state, saved.rom_state_paddr]).toEqual([2, 0xc_8020])
  })

  test('without STANDBY: inactive with a ROM is standby', () => {
    const other = new Guest()
    other.loadRom(rom)
    const saved = other.patcher.save()
    other.patcher.restore({ ...saved, state: 0 })
    expect(other.patcher.state).toBe(2)
    other.patcher.restore({ ...saved, state: 0, rom_state_paddr: 0 })
    expect([other.patcher.state, other.reporting]).toEqual([0, false])
  })

  test('that is none is refused', () => {
    const other = new Guest()
    expect(() => decodeSaved(new Uint8Array(3))).toThrow(VapicError)
    expect(() => other.patcher.restore({ ...other.patcher.save(), state: 3 })).toThrow('state 3')
  })
})
