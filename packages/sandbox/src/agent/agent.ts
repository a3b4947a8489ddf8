import {
  al,
  byte,
  cl,
  dword,
  eax,
  ecx,
  edi,
  edx,
  esi,
  qword,
  r10d,
  r12,
  r13,
  r13d,
  r12d,
  r14d,
  r15d,
  rax,
  rbp,
  rcx,
  rdx,
  rsi,
  rsp,
  word,
} from '@retrap/x86-assembler'
import {
  ANSWER,
  ANSWER_ID,
  at,
  Code,
  PAYLOAD,
  POLL,
  POLL_SIGNALS,
  REQUESTS,
  REQUESTS_END,
  REQUESTS_READY,
  SIGNALS_READY,
  VAR,
} from './code.ts'
import { emitFiles } from './files.ts'
import * as linux from './linux.ts'
import { Answer, HEADER_BYTES, LENGTH_BYTES, MOST_REQUEST, Request } from './protocol.ts'
import { emitRun } from './run.ts'
import { emitStreams } from './streams.ts'

const { SYS } = linux

/** Exit codes. The host's end of the streams gives 0. */
const EXIT_ROOT = 1
const EXIT_REQUEST = 2

/** Bytes of a header that its length counts. */
const COUNTED_BYTES = HEADER_BYTES - LENGTH_BYTES
const REQUEST_TYPES = Object.keys(Request).length

/** Handlers by type of request. RBP has the address of the payload, R12 its end; the answer has the identifier. */
const HANDLERS: Readonly<Record<keyof typeof Request, string>> = {
  Run: 'run',
  Input: 'input',
  InputEnd: 'inputEnd',
  Kill: 'kill',
  Write: 'write',
  Read: 'read',
  List: 'list',
  Stat: 'stat',
  Time: 'time',
  Remove: 'remove',
  Rename: 'rename',
  MakeFolder: 'makeFolder',
  Ping: 'done',
  Entropy: 'entropy',
}

/**
 * Builds the agent: a static ELF executable for Linux on x86-64.
 *
 * It takes requests from descriptor 0 and answers on descriptor 1, as `protocol.ts` describes. Its working folder
 * becomes its root folder, unless it has an argument. It exits with 0 when the host closes the requests, with 1 if it
 * cannot change its root, and with 2 on an invalid request.
 */
export function buildAgent(): Uint8Array {
  const code = new Code()
  emitStart(code)
  emitLoop(code)
  emitReceive(code)
  emitSend(code)
  emitRun(code)
  emitStreams(code)
  emitFiles(code)
  code.at('handlers').dq(0)
  for (const name of Object.keys(Request) as (keyof typeof Request)[]) code.asm.dq(code.to(HANDLERS[name]))
  return code.executable()
}

function emitStart(code: Code): void {
  const { asm } = code
  const rooted = asm.label()
  asm.cmp(qword(rsp), 1).ja(rooted) // argc
  asm.mov(edi, code.to('dot'))
  code.system(SYS.chroot).test(eax, eax).jnz(code.to('noRoot'))
  asm.mov(edi, code.to('slash'))
  code.system(SYS.chdir).test(eax, eax).jnz(code.to('noRoot'))

  asm.bind(rooted)
  code.set(edi, linux.PR_SET_CHILD_SUBREAPER)
  code.set(esi, 1)
  code.system(SYS.prctl)
  // An ignored SIGCHLD hides deaths, and children inherit an ignored SIGPIPE.
  code.set(esi, VAR.ZEROS)
  code.set(edx, 0)
  code.set(r10d, linux.SIGNAL_SET_BYTES)
  for (const signal of [linux.SIGCHLD, linux.SIGPIPE]) {
    code.set(edi, signal)
    code.system(SYS.rt_sigaction)
  }
  // With SIGPIPE blocked a write to a closed pipe fails; a child gets an empty mask back.
  const bit = (signal: number): number => 1 << (signal - 1)
  asm.mov(dword(VAR.CHILD_SIGNAL), bit(linux.SIGCHLD))
  asm.mov(dword(VAR.BLOCKED), bit(linux.SIGCHLD) | bit(linux.SIGPIPE))
  code.set(edi, linux.SIG_SETMASK)
  code.set(esi, VAR.BLOCKED)
  code.system(SYS.rt_sigprocmask)

  // Runs with the agent's own identity then need no calls for theirs. Only a privileged agent can drop groups.
  code.set(edi, 0)
  code.set(esi, 0)
  code.system(SYS.setgroups)
  code.system(SYS.getuid).mov(dword(VAR.OWN_IDS), eax)
  code.system(SYS.getgid).mov(dword(VAR.OWN_IDS + 4), eax)

  // Descriptors that the agent inherited would pass to children.
  code.set(edi, 3)
  asm.or(esi, -1)
  code.set(edx, 0)
  code.system(SYS.close_range)
  asm.mov(edi, code.to('null'))
  code.set(esi, linux.O_RDWR | linux.O_CLOEXEC)
  code.system(SYS.open).mov(dword(VAR.NULL_FD), eax)
  asm.or(edi, -1)
  code.set(esi, VAR.CHILD_SIGNAL)
  code.set(edx, linux.SIGNAL_SET_BYTES)
  code.set(r10d, linux.O_CLOEXEC)
  code.system(SYS.signalfd4)
  asm.mov(dword(POLL_SIGNALS), eax).mov(word(POLL_SIGNALS + 4), linux.POLLIN)
  asm.mov(word(POLL + 4), linux.POLLIN | linux.POLLRDHUP)
  for (const descriptor of [0, 1]) {
    code.set(edi, descriptor)
    code.set(esi, linux.F_SETFD)
    code.set(edx, linux.FD_CLOEXEC)
    code.system(SYS.fcntl)
  }
  asm.mov(r12d, REQUESTS).mov(r13d, REQUESTS)
  code.set(r15d, 0)
  code.set(edx, 0)
  asm.mov(al, Answer.Ready).call(code.to('send')).jmp(code.to('turn'))

  code.at('dot').asciz('.')
  code.at('slash').asciz('/')
  code.at('random').asciz('/dev/urandom')
  code.at('null').asciz('/dev/null')
  code.at('noRoot')
  code.set(edi, EXIT_ROOT).jmp(code.to('exit'))
  code.at('bad')
  code.set(edi, EXIT_REQUEST).jmp(code.to('exit'))
  code.at('disconnected')
  code.set(edi, 0)
  code.at('exit')
  code.system(SYS.exit)
}

/** One poll a turn, then requests, one read of each ready output, and deaths. */
function emitLoop(code: Code): void {
  const { asm } = code
  const poll = asm.label()
  const others = asm.label()
  code.at('turn').mov(eax, dword(VAR.BUSY)).or(eax, r15d).jnz(poll)
  // Without descendants and outputs only a request can arrive, so that the read may block.
  asm.call(code.to('receive')).jmp(code.to('turn'))

  asm.bind(poll)
  code.set(edi, POLL)
  asm.mov(esi, r15d).shr(esi, 3).add(esi, 2) // entries of 8 bytes for the runs, and two more
  asm.or(edx, -1)
  code.system(SYS.poll).mov(r14d, eax).test(eax, eax).jle(code.to('turn'))
  asm.cmp(word(REQUESTS_READY), 0).je(others)
  asm.dec(r14d).call(code.to('receive'))
  // A death comes last in a turn, but its entry counts as a ready one.
  asm.bind(others).cmp(word(SIGNALS_READY), 0).je(code.to('outputs'))
  asm.dec(r14d).jmp(code.to('outputs'))
}

/** Reads requests and handles the complete ones. */
function emitReceive(code: Code): void {
  const { asm } = code
  const [some, next, partial, empty, kept] = [asm.label(), asm.label(), asm.label(), asm.label(), asm.label()]
  code.at('receive')
  code.set(edi, 0)
  asm.mov(rsi, r13).mov(edx, REQUESTS_END).sub(rdx, rsi)
  code.system(SYS.read).test(rax, rax).jg(some)
  // The host closed the stream, if poll() says so. A port can be open again by now.
  code.set(edi, POLL)
  code.set(esi, 1)
  asm.or(edx, -1)
  code.system(SYS.poll)
  const closed = linux.POLLHUP | linux.POLLRDHUP | linux.POLLERR | linux.POLLNVAL
  asm.test(word(REQUESTS_READY), closed).jnz(code.to('disconnected')).ret()

  asm.bind(some).add(r13, rax)
  asm.bind(next).mov(rax, r13).sub(rax, r12).cmp(eax, LENGTH_BYTES).jb(partial)
  asm.mov(ecx, dword(r12)).lea(edx, at(rcx, -COUNTED_BYTES))
  asm.cmp(edx, MOST_REQUEST - COUNTED_BYTES).ja(code.to('bad'))
  asm.add(ecx, LENGTH_BYTES).cmp(eax, ecx).jb(partial)
  asm.movzx(eax, byte(r12, { disp: 4 }))
  asm.mov(edx, at(r12, 5)).mov(dword(ANSWER_ID), edx)
  asm.lea(rbp, at(r12, HEADER_BYTES)).add(r12, rcx)
  asm.lea(ecx, at(rax, -1)).cmp(ecx, REQUEST_TYPES).jae(code.to('bad'))
  asm.call(qword(code.to('handlers'), { index: rax, scale: 8 })).jmp(next)

  // The rest moves to the start of the buffer, which has room for one request.
  asm.bind(partial).mov(edi, REQUESTS).cmp(r12, r13).je(empty).cmp(r12d, edi).je(kept)
  asm.mov(ecx, r13d).sub(ecx, r12d).mov(esi, r12d).mov(r12d, edi).rep().movsb().mov(r13d, edi).ret()
  asm.bind(empty).mov(r12d, edi).mov(r13d, edi)
  asm.bind(kept).ret()
}

/** Ends of handlers: an answer with a payload of EDX bytes, of the type in AL. */
function emitSend(code: Code): void {
  const { asm } = code
  const [more, error] = [asm.label(), asm.label()]
  // DONE, or ERROR for a negative result in EAX.
  code.at('result').test(eax, eax).js(error)
  code.at('done')
  code.set(edx, 0)
  asm.mov(al, Answer.Done).jmp(code.to('sendBusy'))
  asm.bind(error).neg(eax).mov(dword(PAYLOAD), eax).mov(edx, 4).mov(al, Answer.Error)
  code.at('sendBusy').mov(cl, byte(VAR.BUSY)).mov(at(rdx, PAYLOAD), cl).inc(edx)
  code.at('send').mov(byte(ANSWER + 4), al)
  asm.lea(eax, at(rdx, COUNTED_BYTES)).mov(dword(ANSWER), eax).add(edx, HEADER_BYTES)
  asm.mov(esi, ANSWER).mov(edi, 1)
  asm.bind(more)
  code.system(SYS.write).test(rax, rax).jle(code.to('disconnected'))
  asm.add(rsi, rax).sub(edx, eax).jnz(more).ret()
}
