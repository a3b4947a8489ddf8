import {
  al,
  byte,
  cl,
  eax,
  ecx,
  edi,
  edx,
  esi,
  ptr,
  qword,
  r12,
  r12d,
  rax,
  rbx,
  rcx,
  rdi,
  rip,
  rsi,
} from '@retrap/x86-assembler'
import type { Label } from '@retrap/x86-assembler'
import { at, code, type Guest } from './guest.ts'

const PROMPT = 'retrap> '
const LINE_BYTES = 128

const CTRL_C = 0x03
const CTRL_D = 0x04
const BACKSPACE = 0x08
const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const CTRL_U = 0x15
const DELETE = 0x7f

interface Command {
  readonly name: string
  readonly help: string
  /** Emits the command's code. RDI points to the text after its name. */
  readonly run: (guest: Guest) => void
}

const COMMANDS: readonly Command[] = [
  { name: 'help', help: 'this list', run: (guest) => guest.call('help') },
  { name: 'cpuid', help: 'the processor', run: (guest) => guest.call('reportProcessor') },
  { name: 'memory', help: 'the memory map; with an address, 64 bytes from there', run: emitMemoryCommand },
  {
    name: 'devices',
    help: 'PCI and platform devices',
    run: (guest) => ['reportPci', 'reportDevices'].forEach((name) => guest.call(name)),
  },
  {
    name: 'timer',
    help: 'date, and the clocks against each other',
    run: (guest) => ['reportDate', 'reportClocks'].forEach((name) => guest.call(name)),
  },
  { name: 'echo', help: 'prints its argument', run: emitEcho },
  { name: 'fault', help: 'runs an invalid instruction', run: ({ asm }) => void asm.ud2() },
  { name: 'off', help: 'powers the machine off, as the end of input does', run: (guest) => guest.call('powerOff') },
]

function emitMemoryCommand(guest: Guest): void {
  const { asm } = guest
  const map = asm.label()
  const end = asm.label()
  asm.cmp(at(rdi), 0).je(map)
  guest.call('parseHex')
  asm.mov(rdi, rax)
  guest.call('dumpMemory')
  asm.jmp(end).bind(map)
  guest.call('reportMemory')
  asm.bind(end)
}

function emitEcho(guest: Guest): void {
  guest.call('putText')
  guest.say('\n')
}

/** A line editor and the commands. */
export function emitShell(guest: Guest): void {
  const line = guest.variable('shell.line', LINE_BYTES)

  guest.define('shell', [], () => {
    guest.forever(() => {
      guest.call('readLine')
      guest.call('runLine')
    })
  })

  emitReadLine(guest, line)
  emitRunLine(guest, line)
  emitHelp(guest)
  emitParseHex(guest)
}

/** Prompts, and reads a line with echo. End of input on an empty line powers off. */
function emitReadLine(guest: Guest, line: Label): void {
  const { asm } = guest
  // A carriage return and a line feed in a row are one end of line.
  const afterReturn = guest.variable('shell.afterReturn', 1)

  guest.define('readLine', [rbx, r12], (done) => {
    const prompt = asm.label()
    const next = asm.label()
    const erase = asm.label()
    const clear = asm.label()
    const finish = asm.label()
    const abandon = asm.label()
    const carriageReturn = asm.label()
    const lineFeed = asm.label()
    const endOfInput = asm.label()

    asm.bind(prompt)
    guest.say(PROMPT)
    asm.lea(rbx, ptr(rip(line))).xor(r12d, r12d)

    asm.bind(next)
    guest.call('getByte')
    asm.mov(cl, byte(rip(afterReturn))).mov(byte(rip(afterReturn)), 0)
    for (const [character, target] of [
      [CARRIAGE_RETURN, carriageReturn],
      [LINE_FEED, lineFeed],
      [BACKSPACE, erase],
      [DELETE, erase],
      [CTRL_U, clear],
      [CTRL_C, abandon],
      [CTRL_D, endOfInput],
    ] as const) {
      asm.cmp(al, character).je(target)
    }
    // Ignore other control characters, and text that does not fit.
    asm
      .cmp(al, code(' '))
      .jb(next)
      .cmp(r12d, LINE_BYTES - 1)
      .jae(next)
    asm
      .mov(byte(rbx, { index: r12 }), al)
      .inc(r12d)
      .mov(edi, eax)
    guest.call('putByte')
    asm.jmp(next)

    asm.bind(erase).test(r12d, r12d).jz(next)
    emitErase(guest)
    asm.jmp(next)

    const clearOne = asm.label()
    asm.bind(clear).test(r12d, r12d).jz(next).bind(clearOne)
    emitErase(guest)
    asm.test(r12d, r12d).jnz(clearOne).jmp(next)

    asm.bind(abandon)
    guest.say('^C\n')
    asm.jmp(prompt)

    asm.bind(endOfInput).test(r12d, r12d).jnz(next)
    guest.say('\n')
    guest.call('powerOff')

    asm.bind(lineFeed).test(cl, cl).jnz(next).jmp(finish)
    asm.bind(carriageReturn).mov(byte(rip(afterReturn)), 1)
    asm.bind(finish).mov(byte(rbx, { index: r12 }), 0)
    guest.say('\n')
    asm.jmp(done)
  })
}

/** Takes the last character back, on the screen too. */
function emitErase(guest: Guest): void {
  guest.asm.dec(r12d)
  guest.say('\b \b')
}

/** Finds the command that the line starts with, and runs it. */
function emitRunLine(guest: Guest, line: Label): void {
  const { asm } = guest
  const bodies = COMMANDS.map(({ name }) => asm.label(`command.${name}`))
  const names = COMMANDS.map(({ name }) => guest.text(name))
  const table = guest.constant('commands', 8, () => {
    for (const [index, body] of bodies.entries()) asm.dq(names[index] ?? 0, body)
    asm.dq(0)
  })

  guest.define('runLine', [rbx, r12], (done) => {
    const compare = asm.label()
    const differs = asm.label()
    const found = asm.label()
    const unknown = asm.label()
    asm.lea(rdi, ptr(rip(line)))
    guest.call('skipBlanks')
    asm
      .mov(r12, rdi)
      .cmp(at(rdi), 0)
      .je(done)
      .lea(rbx, ptr(rip(table)))

    // The word ends at a blank or at the end of the line, where the name has its zero.
    const candidate = asm.here()
    const nameEnds = asm.label()
    asm.mov(rsi, qword(rbx)).test(rsi, rsi).jz(unknown).mov(rdi, r12)
    asm.bind(compare).mov(al, at(rsi)).mov(cl, at(rdi)).inc(rsi).inc(rdi)
    asm.test(al, al).jz(nameEnds).cmp(al, cl).je(compare)
    asm.bind(differs).add(rbx, 16).jmp(candidate)
    asm.bind(nameEnds).test(cl, cl).jz(found).cmp(cl, code(' ')).jne(differs)

    asm.bind(found).dec(rdi)
    guest.call('skipBlanks')
    asm.call(qword(rbx, { disp: 8 })).jmp(done)

    asm.bind(unknown)
    guest.say('There is no command ')
    asm.mov(rdi, r12)
    guest.call('putText')
    guest.say('; try help.\n')
  })

  for (const [index, { run }] of COMMANDS.entries()) {
    const body = bodies[index]
    if (body === undefined) continue
    asm.bind(body)
    run(guest)
    asm.ret()
  }

  // RDI: a text; the result points to its first character that is not a blank.
  guest.define('skipBlanks', [], (done) => {
    const skip = asm.here()
    asm.cmp(at(rdi), code(' ')).jne(done).inc(rdi).jmp(skip)
  })
}

function emitHelp(guest: Guest): void {
  guest.define('help', [], () => {
    for (const { name, help } of COMMANDS) guest.say(`  ${name.padEnd(10)}${help}\n`)
  })
}

/** RDI: a text. RAX: the hexadecimal number that it starts with, cut to 32 bits: all of the address space that is mapped. */
function emitParseHex(guest: Guest): void {
  const { asm } = guest
  guest.define('parseHex', [], (done) => {
    const digit = asm.label()
    const next = asm.label()
    asm.xor(eax, eax)
    asm.bind(next).movzx(ecx, at(rdi)).inc(rdi)
    asm
      .lea(edx, ptr(rcx, { disp: -code('0') }))
      .cmp(edx, 10)
      .jb(digit)
    // Upper and lower case differ in one bit.
    asm
      .or(ecx, 0x20)
      .lea(edx, ptr(rcx, { disp: 10 - code('a') }))
      .lea(esi, ptr(rcx, { disp: -code('a') }))
    asm.cmp(esi, 6).jae(done)
    asm.bind(digit).shl(eax, 4).or(eax, edx).jmp(next)
  })
}
