import type { Register } from './register-set.ts'

/** Registers that differ by their number only. */
export const many = (count: number, make: (i: number) => Register): readonly Register[] =>
  Array.from({ length: count }, (_, i) => make(i))

/** Types of 128 bits of floating point. */
export const FLOAT_VECTORS =
  '<vector id="v4f" type="ieee_single" count="4"/>\n<vector id="v2d" type="ieee_double" count="2"/>'
