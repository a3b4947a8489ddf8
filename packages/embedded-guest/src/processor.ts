import {
  al,
  bh,
  byte,
  dword,
  eax,
  ebx,
  ecx,
  edi,
  edx,
  esi,
  ptr,
  r12,
  r12d,
  r13,
  r13d,
  rax,
  rbx,
  rdi,
  rip,
} from '@retrap/x86-assembler'
import { at, type Guest } from './guest.ts'
import { CMOS } from './clocks.ts'

const EAX = 0
const EBX = 4
const ECX = 8
const EDX = 12

const EXTENDED = 0x8000_0000
const BRAND_LEAVES = [0x8000_0002, 0x8000_0003, 0x8000_0004]
const HYPERVISOR_LEAF = 0x4000_0000

interface FeatureGroup {
  readonly leaf: number
  /** Offset of the register in CPUID's result. */
  readonly register: number
  readonly bits: Readonly<Record<number, string>>
}

/** SDM vol. 2A, CPUID, "Feature Information Returned"; names as Linux prints them. */
const FEATURES: readonly FeatureGroup[] = [
  {
    leaf: 1,
    register: EDX,
    bits: {
      0: 'fpu',
      1: 'vme',
      2: 'de',
      3: 'pse',
      4: 'tsc',
      5: 'msr',
      6: 'pae',
      7: 'mce',
      8: 'cx8',
      9: 'apic',
      11: 'sep',
      12: 'mtrr',
      13: 'pge',
      14: 'mca',
      15: 'cmov',
      16: 'pat',
      17: 'pse36',
      19: 'clflush',
      23: 'mmx',
      24: 'fxsr',
      25: 'sse',
      26: 'sse2',
      28: 'ht',
    },
  },
  {
    leaf: 1,
    register: ECX,
    bits: {
      0: 'sse3',
      1: 'pclmulqdq',
      3: 'monitor',
      5: 'vmx',
      9: 'ssse3',
      12: 'fma',
      13: 'cx16',
      17: 'pcid',
      19: 'sse4_1',
      20: 'sse4_2',
      21: 'x2apic',
      22: 'movbe',
      23: 'popcnt',
      24: 'tsc_deadline',
      25: 'aes',
      26: 'xsave',
      28: 'avx',
      29: 'f16c',
      30: 'rdrand',
      31: 'hypervisor',
    },
  },
  {
    leaf: 7,
    register: EBX,
    bits: {
      0: 'fsgsbase',
      1: 'tsc_adjust',
      3: 'bmi1',
      5: 'avx2',
      7: 'smep',
      8: 'bmi2',
      9: 'erms',
      10: 'invpcid',
      18: 'rdseed',
      19: 'adx',
      20: 'smap',
      23: 'clflushopt',
      24: 'clwb',
      29: 'sha',
    },
  },
  { leaf: 7, register: ECX, bits: { 2: 'umip', 3: 'pku', 16: 'la57', 22: 'rdpid' } },
  {
    leaf: EXTENDED + 1,
    register: EDX,
    bits: { 11: 'syscall', 20: 'nx', 26: 'pdpe1gb', 27: 'rdtscp', 29: 'lm' },
  },
  {
    leaf: EXTENDED + 1,
    register: ECX,
    bits: { 0: 'lahf_lm', 2: 'svm', 5: 'abm', 6: 'sse4a', 8: '3dnowprefetch' },
  },
  { leaf: EXTENDED + 7, register: EDX, bits: { 8: 'constant_tsc' } },
]
const END_OF_GROUP = 0xff
/** A line of feature names is broken after this many characters. */
const LINE_WIDTH = 64

/** Emits the text of CPUID's leaves. */
export function emitProcessor(guest: Guest): void {
  const { asm } = guest
  const answer = guest.variable('cpuid.answer', 16)
  // A text of up to 48 characters, and its end.
  const text = guest.variable('cpuid.text', 56)

  const load = (leaf: number): void => {
    asm.mov(edi, leaf).xor(esi, esi)
    guest.call('cpuid')
  }

  // EDI: leaf; ESI: subleaf. The answer goes to memory, and EAX to EAX.
  guest.define('cpuid', [rbx], () => {
    asm
      .mov(eax, edi)
      .mov(ecx, esi)
      .cpuid()
      .lea(rdi, ptr(rip(answer)))
    for (const [disp, register] of [
      [EAX, eax],
      [EBX, ebx],
      [ECX, ecx],
      [EDX, edx],
    ] as const) {
      asm.mov(dword(rdi, { disp }), register)
    }
  })

  // Moves registers of the answer into the text, from byte `offset` on.
  const take = (registers: readonly number[], offset: number): void => {
    for (const [index, register] of registers.entries()) {
      asm.mov(eax, dword(rip(answer.plus(register)))).mov(dword(rip(text.plus(offset + 4 * index))), eax)
    }
  }
  const printText = (length: number): void => {
    asm.mov(byte(rip(text.plus(length))), 0).lea(rdi, ptr(rip(text)))
    guest.call('putText')
  }

  guest.define('reportProcessor', [rbx], (done) => {
    guest.say('Processor\n  vendor      ')
    load(0)
    take([EBX, EDX, ECX], 0)
    printText(12)

    const unnamed = asm.label()
    load(EXTENDED)
    asm.cmp(eax, BRAND_LEAVES.at(-1) ?? 0).jb(unnamed)
    for (const [index, leaf] of BRAND_LEAVES.entries()) {
      load(leaf)
      take([EAX, EBX, ECX, EDX], 16 * index)
    }
    guest.say('\n  brand       ')
    printText(48)

    asm.bind(unnamed)
    guest.say('\n  family      ')
    emitSignature(guest)

    guest.say('\n  addresses   ')
    load(EXTENDED + 8)
    asm.mov(ebx, eax).movzx(edi, al)
    guest.call('putDecimal')
    guest.say(' bits physical, ')
    asm.movzx(edi, bh)
    guest.call('putDecimal')
    guest.say(' linear\n  processors  ')
    asm.mov(edi, CMOS.processorsMinusOne)
    guest.call('cmosByte')
    asm.lea(edi, ptr(rax, { disp: 1 }))
    guest.call('putDecimal')

    const bare = asm.label()
    load(1)
    asm.bt(dword(rip(answer.plus(ECX))), 31).jnc(bare)
    guest.say('\n  hypervisor  ')
    load(HYPERVISOR_LEAF)
    take([EBX, ECX, EDX], 0)
    printText(12)
    asm.bind(bare)

    guest.say('\n  features   ')
    guest.call('putFeatures')
    guest.say('\n')
    asm.jmp(done)
  })

  emitFeatures(guest, answer)
}

/** Family, model and stepping out of EAX of leaf 1: SDM vol. 2A, CPUID, "Version Information". */
function emitSignature(guest: Guest): void {
  const { asm } = guest
  const plainFamily = asm.label()
  asm.mov(edi, 1).xor(esi, esi)
  guest.call('cpuid')
  asm.mov(ebx, eax).mov(edi, eax).shr(edi, 8).and(edi, 0xf).cmp(edi, 0xf).jne(plainFamily)
  asm.shr(eax, 20).movzx(eax, al).add(edi, eax).bind(plainFamily)
  guest.call('putDecimal')
  guest.say(' model ')
  // The extended model applies to families 6 and 15 only.
  asm.mov(edi, ebx).shr(edi, 4).and(edi, 0xf).mov(eax, ebx).shr(eax, 12).and(eax, 0xf0).or(edi, eax)
  guest.call('putDecimal')
  guest.say(' stepping ')
  asm.mov(edi, ebx).and(edi, 0xf)
  guest.call('putDecimal')
}

/** Emits code that prints the names of supported features, in lines. */
function emitFeatures(guest: Guest, answer: ReturnType<Guest['variable']>): void {
  const { asm } = guest
  // A group: leaf (4 bytes) and register (1), then bit number and name for each feature. Leaf 0 ends it.
  const table = guest.constant('features', 4, () => {
    for (const { leaf, register, bits } of FEATURES) {
      asm.dd(leaf).db(register)
      for (const [bit, name] of Object.entries(bits)) asm.db(Number(bit), name, 0)
      asm.db(END_OF_GROUP)
    }
    asm.dd(0)
  })

  guest.define('putFeatures', [rbx, r12, r13], (done) => {
    const group = asm.label()
    const known = asm.label()
    const entry = asm.label()
    const skip = asm.label()
    asm.lea(rbx, ptr(rip(table))).xor(r13d, r13d)

    asm.bind(group).xor(r12d, r12d).mov(edi, dword(rbx)).test(edi, edi).jz(done)
    // The highest leaf of a range tells whether the leaf exists; otherwise all its bits are 0.
    asm.and(edi, EXTENDED).xor(esi, esi)
    guest.call('cpuid')
    asm.cmp(eax, dword(rbx)).jae(known).add(rbx, 5).jmp(entry)
    asm.bind(known).mov(edi, dword(rbx))
    guest.call('cpuid')
    asm
      .movzx(eax, at(rbx, 4))
      .lea(rdi, ptr(rip(answer)))
      .mov(r12d, dword(rdi, { index: rax }))
      .add(rbx, 5)

    asm.bind(entry).movzx(eax, at(rbx)).inc(rbx).cmp(al, END_OF_GROUP).je(group)
    asm.bt(r12d, eax).jnc(skip)
    const fits = asm.label()
    const named = asm.label()
    asm.cmp(r13d, LINE_WIDTH).jb(fits).xor(r13d, r13d)
    guest.say('\n             ')
    asm.bind(fits).mov(edi, 0x20)
    guest.call('putByte')
    asm.mov(rdi, rbx)
    guest.call('putText')
    // Skip the name and its end; a printed name counts towards the line, with its blank.
    asm.bind(named).inc(r13d).inc(rbx).cmp(at(rbx, -1), 0).jne(named).jmp(entry)
    asm.bind(skip).inc(rbx).cmp(at(rbx, -1), 0).jne(skip).jmp(entry)
  })
}
