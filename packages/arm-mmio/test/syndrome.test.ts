import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import * as mmio from '../src/index.ts'

const SEED = 20_261_120

describe('a syndrome', () => {
  test('is taken apart', () => {
    expect(mmio.decodeAbortSyndrome(0x93c3_8045)).toEqual({
      exceptionClass: 0x24,
      kind: 'data',
      from: 'lower',
      length: 4,
      access: { size: 8, signExtend: false, register: 3, registerBits: 64, acquireRelease: false },
      faultAddressValid: true,
      externalAbortType: false,
      cacheMaintenance: false,
      stage1Walk: false,
      write: true,
      vncr: false,
      faultStatus: 5,
    } satisfies mmio.AbortSyndrome)
  })

  test('of HSR has four bits of register and no SF', () => {
    expect(mmio.decodeAbortSyndrome(0x939f_8006, 'hsr').access).toMatchObject({ register: 15, registerBits: 32 })
    expect(mmio.decodeAbortSyndrome(0x939f_8006, 'esr').access).toMatchObject({ register: 31, registerBits: 64 })
  })

  // DDI 0487, ESR_ELx, "ISS encoding for an exception from a Data Abort": FnV is valid for DFSC 010000 alone.
  test.each([
    { status: 0x10, fnv: true, valid: false },
    { status: 0x10, fnv: false, valid: true },
    { status: 0x05, fnv: true, valid: true },
    { status: 0x11, fnv: true, valid: true },
  ])('of status $status with FnV $fnv: the fault address is valid is $valid', ({ status, fnv, valid }) => {
    expect(mmio.decodeAbortSyndrome(0x9200_0000 | (fnv ? 1 << 10 : 0) | status).faultAddressValid).toBe(valid)
  })

  test('without ISV describes no access, whatever bits 23:14 hold', () => {
    expect(mmio.decodeAbortSyndrome(0x92ff_c007).access).toBeUndefined()
  })

  test.each([0, 0x5600_0000, 0xbe00_0000])('0x%s is no abort', (value) => {
    expect(() => mmio.decodeAbortSyndrome(value)).toThrow(mmio.ArmMmioError)
    expect(() => mmio.decodeAbortSyndrome(value)).toThrow(expect.objectContaining({ code: 'ERR_SYNDROME' }))
  })

  test(`survives being put together and taken apart (seed ${SEED})`, () => {
    const access = fc.record({
      size: fc.constantFrom(1, 2, 4, 8),
      signExtend: fc.boolean(),
      register: fc.nat(15),
      registerBits: fc.constantFrom(32 as const, 64 as const),
      acquireRelease: fc.boolean(),
    })
    const data = fc.record({
      exceptionClass: fc.constantFrom(0x24, 0x25),
      kind: fc.constant('data' as const),
      length: fc.constantFrom(2 as const, 4 as const),
      access: fc.option(access, { nil: undefined }),
      externalAbortType: fc.boolean(),
      cacheMaintenance: fc.boolean(),
      stage1Walk: fc.boolean(),
      write: fc.boolean(),
      vncr: fc.boolean(),
      faultStatus: fc.nat(63).filter((status) => status !== 0x10),
    })
    fc.assert(
      fc.property(data, (fields) => {
        const from = (fields.exceptionClass & 1) === 0 ? 'lower' : 'same'
        const syndrome: mmio.AbortSyndrome = { ...fields, from, faultAddressValid: true }
        expect(mmio.decodeAbortSyndrome(mmio.encodeAbortSyndrome(syndrome))).toEqual(syndrome)
      }),
      { seed: SEED, numRuns: 2000 },
    )
  })

  test('that does not fit is refused', () => {
    const good = mmio.decodeAbortSyndrome(0x9383_8006)
    const access = { size: 4, signExtend: false, register: 17, registerBits: 32 as const, acquireRelease: false }
    expect(() => mmio.encodeAbortSyndrome({ ...good, access }, 'hsr')).toThrow('register 17')
    expect(() => mmio.encodeAbortSyndrome({ ...good, access: { ...access, size: 3 } })).toThrow('3 bytes')
    expect(() => mmio.encodeAbortSyndrome({ ...good, kind: 'instruction' })).toThrow('class 0x24')
  })
})

test('fault status codes have names and kinds', () => {
  expect(
    [0x00, 0x07, 0x09, 0x0e, 0x10, 0x16, 0x21, 0x2b, 0x35, 0x3f].map(
      (status) => `${mmio.faultKind(status)}: ${mmio.faultName(status)}`,
    ),
  ).toEqual([
    'address-size: address size fault, level 0',
    'translation: translation fault, level 3',
    'access-flag: access flag fault, level 1',
    'permission: permission fault, level 2',
    'external: synchronous external abort',
    'external: synchronous external abort on a table walk, level 2',
    'alignment: alignment fault',
    'translation: translation fault, level -1',
    'other: fault of an implementation: unsupported exclusive or atomic access',
    'other: reserved fault status 0x3f',
  ])
})

test('HPFAR is valid for some faults, and on walks for all', () => {
  expect([0x04, 0x0b, 0x00, 0x0d, 0x10].map(mmio.hpfarValid)).toEqual([true, true, true, false, false])
  expect(mmio.hpfarValid(0x0d | (1 << 7))).toBe(true)
  const abort = { esr: 7, hsr: false, farLo: 0xffff_f123, farHi: 0xffff, hpfarLo: 0x1234_5670, hpfarHi: 0xab }
  expect(mmio.faultIpa(abort)).toBe(0xab12_3456_7123)
  // On a walk the low bits of FAR belong to another address.
  expect(mmio.faultIpa({ ...abort, esr: 7 | (1 << 7) })).toBe(0xab12_3456_7000)
})

describe('a syndrome in words', () => {
  test.each([
    [
      0x9380_0007,
      'esr',
      'A 4-byte read into W0 hit: translation fault, level 3; the syndrome is all that is needed to emulate it.',
    ],
    [
      0x93df_8047,
      'esr',
      'A 8-byte write of XZR hit: translation fault, level 3; the syndrome is all that is needed to emulate it.',
    ],
    [
      0x9200_0047,
      'esr',
      'A write hit: translation fault, level 3; the syndrome does not describe it, so the instruction at PC must be decoded.',
    ],
    [0x8200_0086, 'esr', 'An instruction fetch hit: translation fault, level 2, on a walk of stage 1.'],
    [0x5a00_0000, 'esr', 'HVC in AArch64.'],
  ] as const)('0x%i', (value, format, sentence) => {
    expect(mmio.describeSyndrome(value, format).sentence).toBe(sentence)
  })

  test('each exception class has its number (Arm ARM, "ESR_EL2", field EC)', () => {
    const classes: Readonly<Record<number, RegExp>> = {
      ...{ 0x00: /unknown/, 0x01: /WFI or WFE/, 0x03: /MCR.*processor 15/, 0x04: /MCRR.*processor 15/ },
      ...{ 0x05: /MCR.*processor 14/, 0x06: /LDC or STC/, 0x07: /SIMD or floating/, 0x08: /VMRS/ },
      ...{ 0x09: /trapped pointer auth/, 0x0a: /LD64B/, 0x0c: /MRRC.*14/, 0x0d: /branch target/, 0x0e: /illegal/ },
      ...{ 0x11: /SVC.*32/, 0x12: /HVC.*32/, 0x13: /SMC.*32/, 0x14: /128-bit/, 0x15: /SVC.*64/, 0x16: /HVC.*64/ },
      ...{ 0x17: /SMC.*64/, 0x18: /MSR, MRS/, 0x19: /SVE inst/, 0x1a: /ERET/, 0x1b: /TSTART/ },
      ...{ 0x1c: /authentication failure/, 0x1d: /SME/, 0x1e: /granule/, 0x20: /fetch/, 0x21: /fetch/, 0x22: /PC/ },
      ...{ 0x24: /access|read|write/, 0x25: /access|read|write/, 0x26: /SP/, 0x27: /memory copy/ },
      ...{ 0x28: /floating.*32/, 0x2c: /floating.*64/, 0x2d: /guarded/, 0x2f: /SError/ },
      ...{ 0x30: /breakpoint, lower/, 0x31: /breakpoint, this/, 0x32: /step, lower/, 0x33: /step, this/ },
      ...{ 0x34: /watchpoint, lower/, 0x35: /watchpoint, this/, 0x38: /BKPT/, 0x3a: /vector catch/, 0x3c: /BRK/ },
      ...{ 0x3d: /profiling/ },
    }
    for (let ec = 0; ec < 64; ec++) {
      const { fields, sentence } = mmio.describeSyndrome(ec * 2 ** 26, 'esr')
      expect([ec, fields[0]?.value, sentence]).toEqual([
        ...[ec, ec],
        expect.stringMatching(new RegExp(classes[ec] ?? /reserved/i, 'i')),
      ])
    }
    const levels = [0x20, 0x21, 0x24, 0x25].map((ec) => mmio.describeSyndrome(ec * 2 ** 26, 'esr').fields[0]?.text)
    expect(levels).toEqual([
      'instruction abort from a lower exception level',
      'instruction abort from this exception level',
      'data abort from a lower exception level',
      'data abort from this exception level',
    ])
  })

  test(`never fails, and its fields do not overlap (seed ${SEED})`, () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 0xffff_ffff }),
        fc.constantFrom('esr' as const, 'hsr' as const),
        (value, format) => {
          const { fields, sentence } = mmio.describeSyndrome(value, format)
          expect(sentence).toMatch(/\.$/)
          let last = 32
          for (const { bits } of fields) {
            const [high, low = high] = bits.split(':').map(Number) as [number, number?]
            expect(high).toBeLessThan(last)
            last = low
          }
        },
      ),
      { seed: SEED, numRuns: 2000 },
    )
  })
})
