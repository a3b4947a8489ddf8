/** Which frames are for the driver (PCI/PCI-X Family of Gigabit Ethernet Controllers SDM, §3.2.1, §9.3). */
import { describe, expect, test } from 'vitest'
import { filterFrame, isTagged } from '../../src/e1000/receive-filter.ts'
import type { RegisterFile } from '../../src/e1000/register-file.ts'

// Offsets of registers, §13.4.
const [RCTL, VET, MTA, RAL, VFTA] = [0x100, 0x38, 0x5200, 0x5400, 0x5600]
const [UPE, MPE, BAM, VFE, CFIEN, CFI, PMCF] = [1 << 3, 1 << 4, 1 << 15, 1 << 18, 1 << 19, 1 << 20, 1 << 23]
const AV = 0x8000_0000
const OWN = [0x52, 0x54, 0, 0x12, 0x34, 0x56]
const OTHER = [0x52, 0x54, 0, 0x12, 0x34, 0x57]
const GROUP = [0x01, 0, 0x5e, 0, 0xab, 0xcd]
const EVERYBODY = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff]

/** A card whose first address is `OWN`, with other registers as they are given. */
function card(control: number, others: Readonly<Record<number, number>> = {}): RegisterFile {
  const values: Readonly<Record<number, number>> = {
    [RCTL]: control,
    [VET]: 0x8100,
    [RAL]: 0x1200_5452,
    [RAL + 4]: (AV | 0x5634) >>> 0,
    ...others,
  }
  return { get: (offset: number) => values[offset] ?? 0 } as unknown as RegisterFile
}

const frame = (to: readonly number[], type: number, tag = 0, length = 64): Uint8Array => {
  const bytes = new Uint8Array(length)
  bytes.set([...to, 2, 2, 2, 2, 2, 2, type >> 8, type & 255, tag >> 8, tag & 255])
  return bytes
}

describe('addresses', () => {
  test.each([
    { what: 'its own', to: OWN, control: 0, is: 'exact' },
    { what: 'another', to: OTHER, control: 0, is: 'none' },
    { what: 'another, while all are taken', to: OTHER, control: UPE, is: 'exact' },
    { what: 'another, while all groups are taken', to: OTHER, control: MPE, is: 'none' },
    { what: 'a group', to: GROUP, control: UPE | BAM, is: 'none' },
    { what: 'a group, while all are taken', to: GROUP, control: MPE, is: 'exact' },
    { what: 'everybody', to: EVERYBODY, control: UPE, is: 'none' },
    { what: 'everybody, while that is taken', to: EVERYBODY, control: BAM, is: 'exact' },
  ])('$what: $is', ({ to, control, is }) => {
    expect(filterFrame(frame(to, 0x0800), card(control))).toBe(is)
  })

  test('each of the sixteen counts while it is valid and compared with the destination', () => {
    for (let i = 0; i < 16; i++) {
      const at = RAL + 8 * i
      const upper = (AV | 0x5734) >>> 0
      const filter = (high: number): string =>
        filterFrame(frame(OTHER, 0), card(0, { [at]: 0x1200_5452, [at + 4]: high }))
      const results = [upper, upper & 0xffff, upper | 0x1_0000, upper | 0x2_0000].map((high) => filter(high >>> 0))
      expect([i, ...results]).toEqual([i, 'exact', 'none', 'none', 'none'])
    }
  })

  test('a group is found by twelve bits of its last two bytes', () => {
    // MO, bits 13:12: bits 47:36, 46:35, 45:34 or 43:32 of the address.
    const last = 0xcdab
    for (const [order, shift] of [4, 3, 2, 0].entries()) {
      const hash = (last >>> shift) & 0xfff
      for (const [bit, is] of [
        [hash, 'inexact'],
        [hash ^ 1, 'none'],
        [hash ^ 0x20, 'none'],
      ] as const) {
        const registers = card(order << 12, { [MTA + 4 * (bit >>> 5)]: (1 << (bit & 31)) >>> 0 })
        expect([order, bit, filterFrame(frame(GROUP, 0), registers)]).toEqual([order, bit, is])
      }
    }
  })
})

describe('VLANs', () => {
  test.each([0, 1, 31, 32, 0xfe0, 0xfff])('number %i', (number) => {
    const here = { [VFTA + 4 * (number >>> 5)]: (1 << (number & 31)) >>> 0 }
    const beside = { [VFTA + 4 * (number >>> 5)]: ~(1 << (number & 31)) >>> 0 }
    // Priority and form are no part of the number.
    const tagged = frame(OWN, 0x8100, number | 0xf000)
    const results = [card(VFE, here), card(VFE, beside), card(VFE), card(0), card(0, beside)].map((registers) =>
      filterFrame(tagged, registers),
    )
    expect(results).toEqual(['exact', 'none', 'none', 'exact', 'exact'])
  })

  test('the form of the tag counts while it is compared', () => {
    const all = { [VFTA]: 0xffff_ffff }
    const filter = (control: number, tag: number): string =>
      filterFrame(frame(OWN, 0x8100, tag), card(VFE | control, all))
    expect([0, CFI, CFIEN, CFIEN | CFI].map((control) => [filter(control, 5), filter(control, 0x1005)])).toEqual([
      ['exact', 'exact'],
      ['exact', 'exact'],
      ['exact', 'none'],
      ['none', 'exact'],
    ])
  })

  test('frames without a tag, and of others, are as without VLANs', () => {
    expect(filterFrame(frame(OWN, 0x0800), card(VFE))).toBe('exact')
    expect(filterFrame(frame(OTHER, 0x8100, 5), card(VFE, { [VFTA]: 0x20 }))).toBe('none')
    expect(filterFrame(frame(OTHER, 0x8100, 5), card(0))).toBe('none')
  })

  test('a tag has the type that the driver says, in a frame with room for it', () => {
    expect(isTagged(frame(OWN, 0x8100, 0, 18), card(0))).toBe(true)
    expect(isTagged(frame(OWN, 0x8100, 0, 17), card(0))).toBe(false)
    expect(isTagged(frame(OWN, 0x8100), card(0, { [VET]: 0x88a8 }))).toBe(false)
    expect(isTagged(frame(OWN, 0x88a8), card(0, { [VET]: 0x88a8 }))).toBe(true)
  })
})

test('frames of flow control come through where they are asked for', () => {
  expect(filterFrame(frame(OWN, 0x8808), card(0))).toBe('none')
  expect(filterFrame(frame(OWN, 0x8808), card(PMCF))).toBe('exact')
  expect(filterFrame(frame(OTHER, 0x8808), card(PMCF))).toBe('none')
})
