import {
  al,
  cx,
  dil,
  dword,
  dx,
  eax,
  ebx,
  ecx,
  edi,
  edx,
  esi,
  ptr,
  qword,
  r12,
  rax,
  rbx,
  rcx,
  rdi,
  rdx,
  rip,
  type Label,
} from '@retrap/x86-assembler'
import { code, type Guest } from './guest.ts'
import { MMIO, PORT } from './memory-map.ts'

/** Indices into CMOS RAM: the clock's registers, and fields in which a PC's firmware finds memory and processors. */
export const CMOS = {
  seconds: 0x00,
  minutes: 0x02,
  hours: 0x04,
  day: 0x07,
  month: 0x08,
  year: 0x09,
  statusA: 0x0a,
  statusB: 0x0b,
  /** KiB above 1 MiB, up to 64 MiB. */
  extendedLow: 0x30,
  /** 64 KiB units above 16 MiB and below 4 GiB. */
  above16MibLow: 0x34,
  /** 64 KiB units above 4 GiB. */
  above4GibLow: 0x5b,
  processorsMinusOne: 0x5f,
  century: 0x32,
} as const

/** Reading CMOS RAM. */
export function emitCmos(guest: Guest): void {
  const { asm } = guest

  // EDI: index. EAX: the byte. Bit 7 of the index port would mask NMIs; it stays clear.
  guest.define('cmosByte', [], () => {
    asm.mov(eax, edi).out(PORT.cmosIndex, al).in(al, PORT.cmosData).movzx(eax, al)
  })

  // EDI: index of the low byte. EAX: the 16-bit field.
  guest.define('cmosWord', [rbx], () => {
    asm.lea(ebx, ptr(rdi, { disp: 1 }))
    guest.call('cmosByte')
    asm.xchg(eax, ebx).mov(edi, eax)
    guest.call('cmosByte')
    asm.shl(eax, 8).or(eax, ebx)
  })
}

const PIT_HERTZ = 1_193_182
/** 10 ms. */
const PIT_TICKS = 11_932
const PIT_CHANNEL_2_MODE_0 = 0xb0
const PIT_LATCH_CHANNEL_2 = 0x80
const PIT_LATCH_STATUS_2 = 0xe8
/** The count that was written has not been loaded yet. */
const PIT_NULL_COUNT = 0x40
const GATE_2 = 0x01
const SPEAKER = 0x02
const OUTPUT_2 = 0x20

const HPET_PERIOD = 4
const HPET_CONFIGURATION = 0x10
const HPET_ENABLE = 1
const HPET_COUNTER = 0xf0
/** The specification's limit on the period: 100 ns, in femtoseconds. */
const HPET_LONGEST_PERIOD = 100_000_000

const APIC_TIMER = 0x320
const APIC_INITIAL_COUNT = 0x380
const APIC_CURRENT_COUNT = 0x390
const APIC_DIVIDE = 0x3e0
const APIC_DIVIDE_BY_1 = 0b1011
const APIC_MASKED = 1 << 16

const APIC_VERSION = 0x30
const IO_APIC_VERSION = 1

const PM_TIMER = PORT.powerManagement + 8
const PM_TIMER_BITS = 0xff_ffff

const STATUS_A_UPDATING = 0x80
const STATUS_B_BINARY = 0x04

/** A counter to compare with the PIT: its name, and code that leaves its value in RAX. */
interface Counter {
  readonly name: string
  readonly read: (guest: Guest) => void
  /** The counter counts down. */
  readonly down?: true
  /** Mask of the counter's bits, if fewer than 64. */
  readonly mask?: number
}

const COUNTERS: readonly Counter[] = [
  { name: 'TSC', read: ({ asm }) => asm.rdtsc().shl(rdx, 32).or(rax, rdx) },
  {
    name: 'local APIC timer',
    down: true,
    mask: 0xffff_ffff,
    read: ({ asm }) => asm.mov(eax, MMIO.localApic).mov(eax, dword(rax, { disp: APIC_CURRENT_COUNT })),
  },
  { name: 'HPET', read: ({ asm }) => asm.mov(eax, MMIO.hpet).mov(rax, qword(rax, { disp: HPET_COUNTER })) },
  { name: 'ACPI PM timer', mask: PM_TIMER_BITS, read: ({ asm }) => asm.mov(dx, PM_TIMER).in(eax, dx) },
]

/** Interrupt controllers, timers and the clock. */
export function emitClocks(guest: Guest): void {
  const { asm } = guest
  emitPresence(guest)
  emitMeasure(guest)
  emitDate(guest)

  guest.define('reportDevices', [], () => {
    guest.say('Devices\n  local APIC        version ')
    // Registers of both are read whole: narrower reads are undefined.
    asm
      .mov(eax, MMIO.localApic)
      .mov(edi, dword(rax, { disp: APIC_VERSION }))
      .movzx(edi, dil)
      .mov(esi, 2)
    guest.call('putHex')
    guest.say('\n  I/O APIC          version ')
    asm
      .mov(eax, MMIO.ioApic)
      .mov(dword(rax), IO_APIC_VERSION)
      .mov(edi, dword(rax, { disp: 0x10 }))
      .movzx(edi, dil)
      .mov(esi, 2)
    guest.call('putHex')
    guest.say('\n  HPET              ')
    presence(guest, 'hpetPresent')
    guest.say('\n  ACPI PM timer     ')
    presence(guest, 'pmTimerPresent')
    guest.say('\n')
  })
}

function presence(guest: Guest, question: string): void {
  const { asm } = guest
  const print = asm.label()
  guest.call(question)
  asm
    .lea(rdi, ptr(rip(guest.text('present'))))
    .test(eax, eax)
    .jnz(print)
  asm.lea(rdi, ptr(rip(guest.text('not found')))).bind(print)
  guest.call('putText')
}

function emitPresence(guest: Guest): void {
  const { asm } = guest

  // EAX: 1 if an HPET exists, which is then started; else 0.
  guest.define('hpetPresent', [], (done) => {
    const absent = asm.label()
    asm
      .mov(edi, MMIO.hpet)
      .mov(eax, dword(rdi, { disp: HPET_PERIOD }))
      .test(eax, eax)
      .jz(absent)
    asm.cmp(eax, HPET_LONGEST_PERIOD).ja(absent)
    asm
      .or(dword(rdi, { disp: HPET_CONFIGURATION }), HPET_ENABLE)
      .mov(eax, 1)
      .jmp(done)
    asm.bind(absent).xor(eax, eax)
  })

  // EAX: 1 if the power-management timer moves.
  guest.define('pmTimerPresent', [], (done) => {
    const ATTEMPTS = 100_000
    const again = asm.label()
    asm.mov(dx, PM_TIMER).in(eax, dx).mov(ecx, eax).mov(edi, ATTEMPTS)
    asm.bind(again).in(eax, dx).cmp(eax, ecx).mov(eax, 1).jne(done).dec(edi).jnz(again)
    asm.xor(eax, eax)
  })
}

/** Counts every counter over 10 ms of the PIT, and prints the rate per second. */
function emitMeasure(guest: Guest): void {
  const { asm } = guest
  const before = guest.variable('clocks.before', 8 * COUNTERS.length)
  const after = guest.variable('clocks.after', 8 * COUNTERS.length)
  const elapsed = guest.variable('clocks.elapsed', 4)
  const sample = (into: Label): void => {
    for (const [index, counter] of COUNTERS.entries()) {
      counter.read(guest)
      asm.mov(qword(rip(into.plus(8 * index))), rax)
    }
  }

  // Reads the count to EAX. In mode 0 it continues below zero: this measures the host's lateness.
  const latch = (): void => {
    asm.mov(al, PIT_LATCH_CHANNEL_2).out(PORT.pitControl, al)
    asm.in(al, PORT.pitChannel2).movzx(ecx, al).in(al, PORT.pitChannel2).movzx(eax, al).shl(eax, 8).or(eax, ecx)
  }

  guest.define('measureClocks', [], () => {
    // Start the local APIC's timer from its highest value, with its interrupt masked.
    asm.mov(eax, MMIO.localApic)
    for (const [disp, value] of [
      [APIC_TIMER, APIC_MASKED | 0xff],
      [APIC_DIVIDE, APIC_DIVIDE_BY_1],
      [APIC_INITIAL_COUNT, -1],
    ] as const) {
      asm.mov(dword(rax, { disp }), value)
    }
    // Channel 2 in mode 0: its output rises at the end of the count, whose high byte is written first.
    asm
      .in(al, PORT.systemControlB)
      .and(al, ~SPEAKER & 0xff)
      .or(al, GATE_2)
      .out(PORT.systemControlB, al)
    asm.mov(al, PIT_CHANNEL_2_MODE_0).out(PORT.pitControl, al)
    asm.mov(al, PIT_TICKS & 0xff).out(PORT.pitChannel2, al)
    asm.mov(al, PIT_TICKS >> 8).out(PORT.pitChannel2, al)
    const loading = asm.here()
    asm
      .mov(al, PIT_LATCH_STATUS_2)
      .out(PORT.pitControl, al)
      .in(al, PORT.pitChannel2)
      .test(al, PIT_NULL_COUNT)
      .jnz(loading)
    latch()
    asm.mov(dword(rip(elapsed)), eax)
    sample(before)
    const wait = asm.here()
    asm.in(al, PORT.systemControlB).test(al, OUTPUT_2).jz(wait)
    latch()
    asm
      .mov(ecx, dword(rip(elapsed)))
      .sub(ecx, eax)
      .movzx(ecx, cx)
      .mov(dword(rip(elapsed)), ecx)
    sample(after)
  })

  guest.define('reportClocks', [rbx, r12], () => {
    guest.call('hpetPresent')
    guest.call('measureClocks')
    guest.say('Clocks, counted over 10 ms of the PIT\n')
    for (const [index, counter] of COUNTERS.entries()) {
      guest.say(`  ${counter.name.padEnd(18)}`)
      const [from, to] = counter.down === true ? [after, before] : [before, after]
      asm.mov(rax, qword(rip(to.plus(8 * index)))).sub(rax, qword(rip(from.plus(8 * index))))
      if (counter.mask !== undefined) asm.and(eax, counter.mask)
      asm
        .mov(ecx, PIT_HERTZ)
        .mul(rcx)
        .mov(ecx, dword(rip(elapsed)))
        .div(rcx)
        .mov(rdi, rax)
      guest.call('putMegahertz')
      guest.say('\n')
    }
  })
}

/** Date and time of the battery-backed clock. */
function emitDate(guest: Guest): void {
  const { asm } = guest

  // EDI: index of a register of the clock. EAX: its value, whether kept in BCD or in binary.
  guest.define('clockRegister', [rbx], (done) => {
    const updating = asm.label()
    asm.mov(ebx, edi).bind(updating).mov(edi, CMOS.statusA)
    guest.call('cmosByte')
    asm.test(al, STATUS_A_UPDATING).jnz(updating).mov(edi, ebx)
    guest.call('cmosByte')
    asm.xchg(eax, ebx).mov(edi, CMOS.statusB)
    guest.call('cmosByte')
    asm.xchg(eax, ebx).test(ebx, STATUS_B_BINARY).jnz(done)
    asm.mov(ecx, eax).shr(ecx, 4).imul(ecx, ecx, 10).and(eax, 0xf).add(eax, ecx)
  })

  guest.define('reportDate', [], () => {
    const fields: readonly (readonly [separator: string, index: number])[] = [
      ['', CMOS.century],
      ['', CMOS.year],
      ['-', CMOS.month],
      ['-', CMOS.day],
      [' ', CMOS.hours],
      [':', CMOS.minutes],
      [':', CMOS.seconds],
    ]
    guest.say('Date  ')
    for (const [separator, index] of fields) {
      if (separator !== '') guest.say(separator)
      asm.mov(edi, index)
      guest.call('clockRegister')
      asm.mov(rdi, rax).mov(esi, 2).mov(edx, code('0'))
      guest.call('putPadded')
    }
    guest.say(' UTC\n')
  })
}
