/** TLBI of EL1: what it forgets, and what it keeps. */
import { expect, test } from 'vitest'
import { atEl1With, vectorOf } from './support/el1.ts'
import { exception } from './support/machine.ts'

const HVC = 0xd400_0002
/** TLBI X2, by CRm and op2. */
const tlbi = (m: number, op2: number): number => 0xd508_8002 | (m << 8) | (op2 << 5)
const STR = 0xf900_0020 // str x0, [x1]

/** The operand of TLBI RVAE1: TG, SCALE, NUM, and an address in granules. */
const range = (granule: number, scale: number, number: number, base: bigint): bigint =>
  (BigInt(granule) << 46n) | (BigInt(scale) << 44n) | (BigInt(number) << 39n) | base

/** Stores to a page that becomes read-only meanwhile, which the processor need not know. @returns whether it does */
function forgets(word: number, operand: bigint): boolean {
  const { cpu, host } = atEl1With(STR, HVC, word, STR, HVC)
  cpu.registers.setX(1, 0x9008n)
  cpu.registers.setX(2, operand)
  expect(exception(cpu).syndrome).toBe(0x5a00_0000)
  host.readOnly = 9
  return vectorOf(cpu) === '+200'
}

test.each([
  ['VMALLE1OS', tlbi(1, 0), 0n, true],
  ['VAE1OS of the page', tlbi(1, 1), 9n, true],
  ['VAE1OS of another', tlbi(1, 1), 8n, false],
  ['VAE1 of the page', tlbi(7, 1), 9n, true],
  // Two pages each.
  ['RVAE1 from the page before', tlbi(6, 1), range(1, 0, 0, 8n), true],
  ['RVAE1 up to the page before', tlbi(6, 1), range(1, 0, 0, 7n), false],
  ['RVAE1 from the page after', tlbi(6, 1), range(1, 0, 0, 10n), false],
  ['RVAAE1IS of eight pages', tlbi(2, 3), range(1, 0, 3, 2n), true],
  ['RVALE1OS of six', tlbi(5, 5), range(1, 0, 2, 3n), false],
  ['RVAALE1 of two of 16 KiB', tlbi(6, 7), range(2, 0, 0, 1n), true],
  ['RVAE1 of two of 64 KiB', tlbi(6, 1), range(3, 0, 0, 0n), true],
  ['RVAE1 of 65,536 pages', tlbi(6, 1), range(1, 3, 0, 0n), true],
  ['RVAE1 of two pages at the end of all addresses', tlbi(6, 1), range(1, 0, 0, (1n << 37n) - 2n), false],
  ['RVAE1 without a granule', tlbi(6, 1), range(0, 0, 0, 9n), false],
])('TLBI %s', (_name, word, operand, expected) => {
  expect(forgets(word, operand)).toBe(expected)
})
