import { type Register, type RegisterFeature, RegisterSet, flagsType, FLOAT_VECTORS, many } from './register-set.ts'

// Features of gdb's: Debugging with GDB, appendix G.5.6, "i386 Features".

const GENERAL_64 = 'rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15'.split(' ')
const GENERAL_32 = 'eax ecx edx ebx esp ebp esi edi'.split(' ')
const POINTERS = new Set(['rbp', 'rsp', 'ebp', 'esp'])
const SEGMENTS = 'cs ss ds es fs gs'.split(' ')
const X87_WORDS = 'fctrl fstat ftag fiseg fioff foseg fooff fop'.split(' ')

/** Names and bits of RFLAGS (SDM vol. 1, "EFLAGS Register"). */
const EFLAGS_TYPE = flagsType(
  'i386_eflags',
  'CF 0,  1, PF 2, AF 4, ZF 6, SF 7, TF 8, IF 9, DF 10, OF 11, NT 14, RF 16, VM 17, AC 18, VIF 19, VIP 20, ID 21',
)
/** Names and bits of MXCSR (SDM vol. 1, "MXCSR Control and Status Register"). */
const MXCSR_TYPE = flagsType(
  'i386_mxcsr',
  'IE 0, DE 1, ZE 2, OE 3, UE 4, PE 5, DAZ 6, IM 7, DM 8, ZM 9, OM 10, UM 11, PM 12, FZ 15',
)
const VECTOR_TYPES = [
  FLOAT_VECTORS,
  '<vector id="v16i8" type="int8" count="16"/>',
  '<vector id="v8i16" type="int16" count="8"/>',
  '<vector id="v4i32" type="int32" count="4"/>',
  '<vector id="v2i64" type="int64" count="2"/>',
  '<union id="vec128">',
  '<field name="v4_float" type="v4f"/><field name="v2_double" type="v2d"/><field name="v16_int8" type="v16i8"/>',
  '<field name="v8_int16" type="v8i16"/><field name="v4_int32" type="v4i32"/><field name="v2_int64" type="v2i64"/>',
  '<field name="uint128" type="uint128"/>',
  '</union>',
].join('\n')

/** Registers that gdb has no names for. */
const system = (bits: number): readonly Register[] => {
  const words = (names: string, size: number): readonly Register[] =>
    names.split(' ').map((name) => ({ name, bits: size, group: 'system' }))
  const wide = `int${bits}`
  return [
    ...words('cs_base ss_base ds_base es_base', bits).map((register) => ({ ...register, type: wide })),
    ...(bits === 64 ? [] : words('fs_base gs_base', bits)),
    ...(bits === 64 ? words('k_gs_base', bits) : []),
    ...words('cr0 cr2 cr3 cr4 cr8', bits),
    ...words('efer', bits),
    ...words('gdtr_base', bits),
    ...words('gdtr_limit', 32),
    ...words('idtr_base', bits),
    ...words('idtr_limit', 32),
    ...words('tr ldtr', 32),
    ...words('tr_base ldtr_base', bits),
    ...words('dr0 dr1 dr2 dr3 dr6 dr7', bits),
  ]
}

/** AVX-512's registers: `h` is the part above the named one. */
function avx512(bits: 32 | 64): RegisterFeature {
  const above = bits === 64 ? 16 : 0
  return {
    name: 'org.gnu.gdb.i386.avx512',
    types: `${VECTOR_TYPES}\n<vector id="v2ui128" type="uint128" count="2"/>`,
    registers: [
      ...many(above, (i) => ({ name: `xmm${16 + i}`, bits: 128, type: 'vec128' })),
      ...many(above, (i) => ({ name: `ymm${16 + i}h`, bits: 128, type: 'uint128' })),
      ...many(8, (i) => ({ name: `k${i}`, bits: 64, type: 'uint64' })),
      ...many(bits === 64 ? 32 : 8, (i) => ({ name: `zmm${i}h`, bits: 256, type: 'v2ui128' })),
    ],
  }
}

/** AMX's tiles, each 16 rows of 64 bytes, and their configuration: gdb has no feature of its own for them. */
const AMX: RegisterFeature = {
  name: 'dev.retrap.x86.amx',
  types: '<vector id="tile" type="uint8" count="1024"/>\n<vector id="tilecfg" type="uint8" count="64"/>',
  registers: [
    ...many(8, (i) => ({ name: `tmm${i}`, bits: 8192, type: 'tile', group: 'vector' })),
    { name: 'tilecfg', bits: 512, type: 'tilecfg', group: 'vector' },
  ],
}

function features(
  bits: 32 | 64,
  extended: NonNullable<Parameters<typeof x86Registers>[1]>,
): readonly RegisterFeature[] {
  const general = bits === 64 ? GENERAL_64 : GENERAL_32
  const vectors = bits === 64 ? 16 : 8
  return [
    {
      name: 'org.gnu.gdb.i386.core',
      types: EFLAGS_TYPE,
      registers: [
        ...general.map((name) => ({ name, bits, type: POINTERS.has(name) ? 'data_ptr' : `int${bits}` })),
        { name: bits === 64 ? 'rip' : 'eip', bits, type: 'code_ptr' },
        { name: 'eflags', bits: 32, type: 'i386_eflags' },
        ...SEGMENTS.map((name) => ({ name, bits: 32, type: 'int32' })),
        ...many(8, (i) => ({ name: `st${i}`, bits: 80, type: 'i387_ext' })),
        ...X87_WORDS.map((name) => ({ name, bits: 32, group: 'float' })),
      ],
    },
    {
      name: 'org.gnu.gdb.i386.sse',
      types: `${VECTOR_TYPES}\n${MXCSR_TYPE}`,
      registers: [
        ...many(vectors, (i) => ({ name: `xmm${i}`, bits: 128, type: 'vec128' })),
        { name: 'mxcsr', bits: 32, type: 'i386_mxcsr', group: 'vector' },
      ],
    },
    ...(bits === 64
      ? [
          {
            name: 'org.gnu.gdb.i386.segments',
            registers: ['fs_base', 'gs_base'].map((name) => ({ name, bits: 64, type: 'int' })),
          },
        ]
      : []),
    {
      name: 'org.gnu.gdb.i386.avx',
      registers: many(vectors, (i) => ({ name: `ymm${i}h`, bits: 128, type: 'uint128' })),
    },
    ...(extended.avx512 === true ? [avx512(bits)] : []),
    ...(extended.apx === true && bits === 64
      ? [
          {
            name: 'org.gnu.gdb.i386.apx',
            registers: many(16, (i) => ({ name: `r${16 + i}`, bits: 64, type: 'int64' })),
          },
        ]
      : []),
    { name: 'dev.retrap.x86.system', registers: system(bits) },
    ...(extended.amx === true && bits === 64 ? [AMX] : []),
  ]
}

/**
 * Registers of an x86 processor, in all of its modes: general, segment, x87, SSE, AVX and system registers.
 *
 * @param extended - registers that it has besides: AVX-512's masks and whole vectors; R16 to R31 of APX, which gdb shows from
 *   version 17 on among the others, and before as registers of their own; AMX's tiles
 */
export function x86Registers(
  bits: 32 | 64,
  extended: { readonly avx512?: boolean; readonly apx?: boolean; readonly amx?: boolean } = {},
): RegisterSet {
  const all = features(bits, extended)
  const general = all.findIndex(({ name }) => name === 'dev.retrap.x86.system')
  return new RegisterSet(bits === 64 ? 'i386:x86-64' : 'i386', all, bits === 64 ? 'rip' : 'eip', general)
}
