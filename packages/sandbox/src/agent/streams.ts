import {
  al,
  byte,
  dword,
  eax,
  ebp,
  ebx,
  ecx,
  edi,
  edx,
  esi,
  qword,
  r10d,
  r12d,
  r14d,
  r15,
  r15d,
  r8d,
  r9,
  r9d,
  rax,
  rbp,
  rbx,
  word,
  type Assembler,
} from '@retrap/x86-assembler'
import {
  ANSWER_ID,
  at,
  CHUNK,
  CLOSING,
  type Code,
  ENDED,
  INPUT_SHIFT,
  INPUTS,
  PAYLOAD,
  POLL_SIGNALS,
  run,
  RUN,
  RUN_BYTES,
  RUNNING,
  SIGNALS_READY,
  VAR,
} from './code.ts'
import * as linux from './linux.ts'
import { Answer, MOST_INPUT } from './protocol.ts'

const { SYS } = linux

const OUTPUTS = [
  { entry: RUN.POLL_OUTPUT, answer: Answer.Output },
  { entry: RUN.POLL_ERRORS, answer: Answer.ErrorOutput },
] as const

/** The byte of flags of the run at RBX. */
const state = byte(rbx, { disp: RUN.STATE })

/** Inputs, outputs and ends of runs. */
export function emitStreams(code: Code): void {
  emitFind(code, 'findId', RUN.ID)
  emitFind(code, 'findProcess', RUN.PID)
  emitInput(code)
  emitFeed(code)
  emitOutputs(code)
  emitOutput(code)
  emitDeaths(code)
  emitEnd(code)
}

/** A routine that finds the running run with EDX in a field: at RBX, with CF set. CF is clear if there is none. */
function emitFind(code: Code, name: string, field: number): void {
  const { asm } = code
  const [next, other, end] = [asm.label(), asm.label(), asm.label()]
  code.at(name).xor(ebx, ebx)
  asm.bind(next).cmp(ebx, r15d).jae(end)
  asm.cmp(run(field), edx).jne(other).test(state, RUNNING).jz(other).stc().ret()
  asm.bind(other).add(ebx, RUN_BYTES).jmp(next)
  asm.bind(end).ret()
}

/** The handlers of Input, InputEnd and Kill. */
function emitInput(code: Code): void {
  const { asm } = code
  const end = asm.label()
  const find = (name: string): Assembler => code.at(name).mov(edx, dword(ANSWER_ID)).call(code.to('findId')).jnc(end)

  find('input').mov(edx, r12d).sub(edx, ebp).cmp(edx, MOST_INPUT).ja(code.to('bad'))
  asm.cmp(run(RUN.LEFT), 0).jne(code.to('bad')).mov(esi, ebp).call(code.to('writeInput')).js(code.to('inputGone'))
  asm.sub(edx, eax).jz(code.to('taken'))
  asm.add(esi, eax).mov(ecx, edx).mov(run(RUN.LEFT), edx)
  asm.mov(edi, ebx).shl(edi, INPUT_SHIFT).add(edi, INPUTS).mov(run(RUN.PENDING), edi).rep().movsb()
  asm.mov(eax, run(RUN.INPUT)).mov(run(RUN.POLL_INPUT), eax).ret()

  find('inputEnd').cmp(run(RUN.LEFT), 0).je(code.to('closeInput'))
  asm.or(state, CLOSING).ret()

  find('kill').mov(edi, run(RUN.PID)).neg(edi).mov(esi, dword(rbp))
  code.system(SYS.kill)
  asm.bind(end).ret()
}

/** Writes pending input of a run whose pipe has room, or has no reader. */
function emitFeed(code: Code): void {
  const { asm } = code
  const [some, end, closed, answer] = [asm.label(), asm.label(), asm.label(), asm.label()]
  code.at('feed').mov(esi, run(RUN.PENDING)).mov(edx, run(RUN.LEFT)).call(code.to('writeInput'))
  asm.js(code.to('inputGone')).add(run(RUN.PENDING), eax).sub(run(RUN.LEFT), eax).jnz(end)
  asm.or(run(RUN.POLL_INPUT), -1).test(state, CLOSING).jz(code.to('taken')).call(code.to('closeInput'))
  code.at('taken').xor(edx, edx)
  asm.bind(answer).mov(eax, run(RUN.ID)).mov(dword(ANSWER_ID), eax).mov(al, Answer.Taken).jmp(code.to('send'))
  asm.bind(end).ret()
  code.at('inputGone').call(code.to('closeInput'))
  asm.mov(byte(PAYLOAD), 1).mov(edx, 1).jmp(answer)

  // Writes EDX bytes at RSI. EAX: the bytes that the pipe took; SF: it takes no more, ever.
  code.at('writeInput').mov(edi, run(RUN.INPUT))
  code.system(SYS.write).cmp(eax, -linux.EAGAIN).jne(some).xor(eax, eax)
  asm.bind(some).test(eax, eax).ret()

  code.at('closeInput').or(run(RUN.POLL_INPUT), -1).mov(run(RUN.LEFT), 0)
  asm.mov(edi, run(RUN.INPUT)).test(edi, edi).js(closed)
  code.system(SYS.close).or(run(RUN.INPUT), -1)
  asm.bind(closed).ret()
}

/** The part of a turn that looks at the runs' descriptors; R14 counts the ready ones that are left. */
function emitOutputs(code: Code): void {
  const { asm } = code
  const next = asm.label()
  const ready = (entry: number, handle: () => void): void => {
    const skip = asm.label()
    asm
      .cmp(word(rbx, { disp: entry + linux.POLLFD_REVENTS }), 0)
      .je(skip)
      .dec(r14d)
    handle()
    asm.bind(skip)
  }
  code.at('outputs').xor(ebx, ebx)
  asm.bind(next).test(r14d, r14d).jz(code.to('deaths')).cmp(ebx, r15d).jae(code.to('deaths'))
  ready(RUN.POLL_INPUT, () => asm.call(code.to('feed')))
  for (const { entry, answer } of OUTPUTS) {
    ready(entry, () => asm.lea(r9d, at(rbx, entry)).mov(r8d, answer).call(code.to('output')))
  }
  asm.add(ebx, RUN_BYTES).jmp(next)
}

/** Routines for the output whose entry is at R9, and whose answers have the type in R8D. */
function emitOutput(code: Code): void {
  const { asm } = code
  const revents = byte(r9, { disp: linux.POLLFD_REVENTS })
  const [close, open, silent, more] = [asm.label(), asm.label(), asm.label(), asm.label()]
  const [least, drained, trim, kept] = [asm.label(), asm.label(), asm.label(), asm.label()]

  // Without writers a pipe is at its end after a short read.
  code.at('output').test(revents, linux.POLLIN).jz(close)
  asm.mov(edx, CHUNK).call(code.to('chunk')).jle(close)
  asm.cmp(eax, CHUNK).je(open).test(revents, linux.POLLHUP).jz(open)
  asm.bind(close).mov(edi, dword(r9))
  code.system(SYS.close).or(dword(r9), -1).jmp(code.to('release'))
  asm.bind(open).ret()

  // One read of EDX bytes at most, and an answer unless the host was told of the end. EAX and flags: the result.
  code.at('chunk').mov(edi, dword(r9)).mov(esi, PAYLOAD)
  code.system(SYS.read).test(eax, eax).jle(silent).test(state, RUNNING).jz(silent)
  asm.push(rax).mov(edx, eax).mov(eax, run(RUN.ID)).mov(dword(ANSWER_ID), eax)
  asm.mov(eax, r8d).call(code.to('send')).pop(rax)
  asm.bind(silent).test(eax, eax).ret()

  // Reads only the bytes that are there now: another process may write without end.
  code.at('drain').mov(edi, dword(r9)).mov(esi, linux.FIONREAD).mov(edx, VAR.AVAILABLE)
  code.system(SYS.ioctl).test(eax, eax).js(drained)
  asm.bind(more).mov(edx, dword(VAR.AVAILABLE)).test(edx, edx).jz(drained)
  asm.cmp(edx, CHUNK).jbe(least).mov(edx, CHUNK)
  asm.bind(least).call(code.to('chunk')).jle(drained)
  asm.sub(dword(VAR.AVAILABLE), eax).jmp(more)
  asm.bind(drained).ret()

  // Frees a run that has ended and whose outputs are closed, and shortens the part of the tables that is in use.
  code.at('release').test(state, ENDED).jz(kept)
  asm.mov(eax, run(RUN.POLL_OUTPUT)).and(eax, run(RUN.POLL_ERRORS)).inc(eax).jnz(kept) // both are -1
  asm.mov(run(RUN.STATE), eax)
  asm
    .bind(trim)
    .cmp(dword(r15, { disp: RUN.STATE - RUN_BYTES }), 0)
    .jne(kept)
  asm.sub(r15d, RUN_BYTES).jnz(trim)
  asm.bind(kept).ret()
}

/** The last part of a turn: reaps children, and descendants without a parent. */
function emitDeaths(code: Code): void {
  const { asm } = code
  const [next, again, orphan] = [asm.label(), asm.label(), asm.label()]
  code.at('deaths').cmp(word(SIGNALS_READY), 0).je(code.to('turn'))
  asm.mov(edi, dword(POLL_SIGNALS)).mov(esi, VAR.SIGNAL).mov(edx, linux.SIGNALFD_SIGINFO_BYTES)
  code.system(SYS.read).call(code.to('wait'))
  // An answer tells whether descendants are left, so that the next wait comes first.
  asm.bind(next).test(eax, eax).jle(code.to('turn')).mov(ebp, eax).push(qword(VAR.STATUS)).call(code.to('wait'))
  asm.mov(r14d, eax).cmp(eax, -linux.ECHILD).setne(byte(VAR.BUSY))
  asm.mov(edx, ebp).call(code.to('findProcess')).pop(rax).jnc(orphan).call(code.to('end'))
  asm.bind(again).mov(eax, r14d).jmp(next)
  asm.bind(orphan).cmp(byte(VAR.BUSY), 0).jne(again)
  asm.xor(edx, edx).mov(dword(ANSWER_ID), edx).mov(al, Answer.Idle).call(code.to('send')).jmp(again)

  code
    .at('wait')
    .or(edi, -1)
    .mov(esi, VAR.STATUS)
    .mov(edx, linux.WNOHANG | linux.WALL)
    .xor(r10d, r10d)
  code.system(SYS.wait4).ret()
}

/** A routine that tells the host of the end of the run at RBX, whose wait status is EAX. */
function emitEnd(code: Code): void {
  const { asm } = code
  code.at('end').mov(ebp, eax)
  for (const { entry, answer } of OUTPUTS) {
    const closed = asm.label()
    asm.lea(r9d, at(rbx, entry)).cmp(dword(r9), 0).jl(closed)
    asm.mov(r8d, answer).call(code.to('drain')).bind(closed)
  }
  asm.call(code.to('closeInput')).mov(run(RUN.STATE), ENDED)
  asm.mov(eax, run(RUN.ID)).mov(dword(ANSWER_ID), eax).mov(dword(PAYLOAD), ebp)
  asm.mov(edx, 4).mov(al, Answer.Exit).call(code.to('sendBusy')).jmp(code.to('release'))
}
