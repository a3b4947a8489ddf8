import { al, dil, dx, eax, edi, rbx, rdi } from '@retrap/x86-assembler'
import { at, type Guest } from './guest.ts'
import { PORT } from './memory-map.ts'

// Registers of a 16550, from its base port, and the used bits.
const DATA = 0
const INTERRUPT_ENABLE = 1
const LINE_CONTROL = 3
const MODEM_CONTROL = 4
const LINE_STATUS = 5
const DIVISOR_LOW = 0
const DIVISOR_HIGH = 1
const INTERRUPT_RECEIVED = 0x01
const LINE_8N1 = 0x03
const LINE_DIVISOR = 0x80
const MODEM_DTR_RTS_OUT2 = 0x0b
const STATUS_RECEIVED = 0x01
const STATUS_HOLDING_EMPTY = 0x20
const STATUS_EMPTY = 0x40

/** 115200 baud from the clock of 1.8432 MHz. */
const DIVISOR = 1

/** The serial console on COM1: polled output, and input that an interrupt announces. */
export function emitSerial(guest: Guest): void {
  const { asm } = guest
  const writePort = (register: number, value: number): void => {
    asm
      .mov(dx, PORT.com1 + register)
      .mov(al, value)
      .out(dx, al)
  }

  guest.define('serialInitialise', [], () => {
    writePort(INTERRUPT_ENABLE, 0)
    writePort(LINE_CONTROL, LINE_8N1 | LINE_DIVISOR)
    writePort(DIVISOR_LOW, DIVISOR)
    writePort(DIVISOR_HIGH, 0)
    writePort(LINE_CONTROL, LINE_8N1)
    writePort(MODEM_CONTROL, MODEM_DTR_RTS_OUT2)
  })

  // Waits for a byte and returns it. Received bytes stay in the port until they are wanted, so that a sender that heeds flow control loses
  // none. The FIFOs stay off for the same reason: turning them on drops bytes that were typed ahead. The processor sleeps meanwhile;
  // interrupts are off between the look and the sleep, and STI lets one instruction pass before it takes effect, so no wake-up is lost.
  guest.define('getByte', [], () => {
    const ready = asm.label()
    guest.forever(() => {
      asm
        .cli()
        .mov(dx, PORT.com1 + LINE_STATUS)
        .in(al, dx)
        .test(al, STATUS_RECEIVED)
        .jnz(ready)
      writePort(INTERRUPT_ENABLE, INTERRUPT_RECEIVED)
      asm.sti().hlt()
    })
    asm
      .bind(ready)
      .sti()
      .mov(dx, PORT.com1 + DATA)
      .in(al, dx)
      .movzx(eax, al)
  })

  // Called by the interrupt: it has served its purpose, which was to end the sleep.
  guest.define('serialQuiet', [], () => writePort(INTERRUPT_ENABLE, 0))

  guest.define('putByte', [], () => {
    waitFor(guest, STATUS_HOLDING_EMPTY)
    asm
      .mov(dx, PORT.com1 + DATA)
      .mov(eax, edi)
      .out(dx, al)
  })

  // Prints a zero-terminated text; a line feed gets its carriage return.
  guest.define('putText', [rbx], (done) => {
    asm.mov(rbx, rdi)
    const next = asm.here()
    const plain = asm.label()
    asm.movzx(edi, at(rbx)).inc(rbx).test(dil, dil).jz(done).cmp(dil, 0x0a).jne(plain)
    asm.mov(edi, 0x0d)
    guest.call('putByte')
    asm.mov(edi, 0x0a).bind(plain)
    guest.call('putByte')
    asm.jmp(next)
  })

  // Waits until the last bit has left.
  guest.define('serialFlush', [], () => waitFor(guest, STATUS_EMPTY))
}

function waitFor(guest: Guest, status: number): void {
  const { asm } = guest
  const wait = asm.here()
  asm
    .mov(dx, PORT.com1 + LINE_STATUS)
    .in(al, dx)
    .test(al, status)
    .jz(wait)
}
