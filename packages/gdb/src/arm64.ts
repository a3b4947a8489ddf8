import { type Register, type RegisterFeature, RegisterSet, flagsType, FLOAT_VECTORS, many } from './register-set.ts'

// Features of gdb's: Debugging with GDB, appendix G.5.1, "AArch64 Features".

/** Names and bits of PSTATE where SPSR_EL1 has its fields (Arm ARM, C5.2, "SPSR_EL1"). */
const STATUS_TYPE = flagsType(
  'cpsr_flags',
  'SP 0, EL 2-3, nRW 4, F 6, I 7, A 8, D 9, BTYPE 10-11, SSBS 12, IL 20, SS 21, PAN 22, UAO 23, DIT 24, V 28, C 29, Z 30, N 31',
)

/** The views of a V register, as gdb's own description has them. */
const VECTOR_TYPES = [
  FLOAT_VECTORS,
  '<vector id="v8h" type="ieee_half" count="8"/>',
  '<union id="vnd"><field name="f" type="v2d"/><field name="u" type="v2u"/><field name="s" type="v2s"/></union>',
  '<union id="vns"><field name="f" type="v4f"/><field name="u" type="v4u"/><field name="s" type="v4s"/></union>',
  '<union id="vnh"><field name="f" type="v8h"/><field name="u" type="v8u"/><field name="s" type="v8s"/></union>',
  '<union id="vnb"><field name="u" type="v16u"/><field name="s" type="v16s"/></union>',
  '<union id="vnq"><field name="u" type="v1u"/><field name="s" type="v1s"/></union>',
  '<union id="aarch64v">',
  '<field name="d" type="vnd"/><field name="s" type="vns"/><field name="h" type="vnh"/>',
  '<field name="b" type="vnb"/><field name="q" type="vnq"/>',
  '</union>',
]
const INTEGER_VECTORS = [
  [64, 2],
  [32, 4],
  [16, 8],
  [8, 16],
  [128, 1],
]
  .flatMap(([bits, count]) => [
    `<vector id="v${count}u" type="uint${bits}" count="${count}"/>`,
    `<vector id="v${count}s" type="int${bits}" count="${count}"/>`,
  ])
  .join('')

/** Registers of an Arm processor with AArch64: general, floating-point and SIMD, and system registers. */
export function arm64Registers(systemRegisters: readonly string[]): RegisterSet {
  const system = systemRegisters.map((name): Register => ({ name, bits: 64, type: 'uint64', group: 'system' }))
  const features: readonly RegisterFeature[] = [
    {
      name: 'org.gnu.gdb.aarch64.core',
      types: STATUS_TYPE,
      registers: [
        ...many(31, (i) => ({ name: `x${i}`, bits: 64 })),
        { name: 'sp', bits: 64, type: 'data_ptr' },
        { name: 'pc', bits: 64, type: 'code_ptr' },
        { name: 'cpsr', bits: 32, type: 'cpsr_flags' },
      ],
    },
    {
      name: 'org.gnu.gdb.aarch64.fpu',
      types: [INTEGER_VECTORS, ...VECTOR_TYPES].join('\n'),
      registers: [
        ...many(32, (i) => ({ name: `v${i}`, bits: 128, type: 'aarch64v' })),
        { name: 'fpsr', bits: 32, group: 'float' },
        { name: 'fpcr', bits: 32, group: 'float' },
      ],
    },
    { name: 'dev.retrap.aarch64.system', registers: system },
  ]
  return new RegisterSet('aarch64', features, 'pc', features.length - 1)
}
