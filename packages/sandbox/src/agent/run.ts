import {
  al,
  byte,
  dword,
  eax,
  ebx,
  ecx,
  edi,
  edx,
  esi,
  qword,
  r10d,
  r12,
  r15d,
  r8d,
  r9d,
  rax,
  rbp,
  rbx,
  rcx,
  rdi,
  rdx,
  rsi,
} from '@retrap/x86-assembler'
import {
  ANSWER_ID,
  at,
  type Code,
  given,
  PAYLOAD,
  POINTERS,
  run,
  RUN,
  RUN_BYTES,
  RUNNING,
  RUNS_BYTES,
  VAR,
} from './code.ts'
import * as linux from './linux.ts'
import { Answer, RUN_INPUT, Stage } from './protocol.ts'

const { SYS } = linux

/** Offsets in the payload of a Run. */
const REQUEST = { UID: 0, GID: 4, FLAGS: 8, CANDIDATES: 12, ARGC: 16, ENVC: 20, TEXTS: 24 } as const

/** Reading and writing ends of the pipes. */
const PIPE = {
  INPUT: VAR.PIPES,
  INPUT_END: VAR.PIPES + 4,
  OUTPUT: VAR.PIPES + 8,
  OUTPUT_END: VAR.PIPES + 12,
  ERRORS: VAR.PIPES + 16,
  ERRORS_END: VAR.PIPES + 20,
} as const

const CHILD_EXIT = 127

/** The handler of Run, and the child that it starts. */
export function emitRun(code: Code): void {
  emitRequest(code)
  emitTexts(code)
  emitParent(code)
  emitFailures(code)
  emitChild(code)
}

/** Finds a free run (RBX), the texts and pipes, and starts the child. */
function emitRequest(code: Code): void {
  const { asm } = code
  const [next, free, noInput] = [asm.label(), asm.label(), asm.label()]
  code.at('run')
  code.set(ebx, 0)
  asm.mov(eax, -linux.EAGAIN)
  asm.bind(next).cmp(run(RUN.STATE), 0).je(free)
  asm.add(ebx, RUN_BYTES).cmp(ebx, RUNS_BYTES).jb(next).jmp(code.to('notRun'))

  asm.bind(free).lea(rdi, at(rbp, REQUEST.TEXTS)).mov(rcx, r12).sub(rcx, rdi).jbe(code.to('bad'))
  asm.mov(edx, POINTERS).mov(esi, given(REQUEST.CANDIDATES)).inc(esi).call(code.to('texts'))
  asm.mov(dword(VAR.ARGV), edx).mov(esi, given(REQUEST.ARGC)).call(code.to('texts'))
  asm.mov(qword(rdx), 0).add(edx, 8)
  asm.mov(dword(VAR.ENVIRONMENT), edx).mov(esi, given(REQUEST.ENVC)).call(code.to('texts'))
  asm.mov(qword(rdx), 0)

  asm.or(rax, -1).mov(qword(PIPE.INPUT), rax).mov(qword(PIPE.OUTPUT), rax).mov(qword(PIPE.ERRORS), rax)
  code.set(esi, linux.O_CLOEXEC)
  asm.test(given(REQUEST.FLAGS), RUN_INPUT).jz(noInput)
  code.set(edi, PIPE.INPUT)
  code.system(SYS.pipe2).test(eax, eax).js(code.to('noChild'))
  // Only the agent's end: a program expects an input that blocks.
  asm.mov(edi, dword(PIPE.INPUT_END)).mov(esi, linux.F_SETFL).mov(edx, linux.O_NONBLOCK)
  code.system(SYS.fcntl).mov(esi, linux.O_CLOEXEC)
  asm.bind(noInput)
  for (const pipe of [PIPE.OUTPUT, PIPE.ERRORS]) {
    code.set(edi, pipe)
    code.system(SYS.pipe2).test(eax, eax).js(code.to('noChild'))
  }

  // The agent waits until the child has executed a program or is gone. The child uses the agent's memory and no stack.
  code.set(eax, 0)
  asm.mov(dword(VAR.CHILD_ERRNO), eax)
  code.set(edi, linux.CLONE_VM | linux.CLONE_VFORK | linux.SIGCHLD)
  code.set(esi, 0)
  code.set(edx, 0)
  code.set(r10d, 0)
  code.set(r8d, 0)
  code.system(SYS.clone).test(eax, eax).js(code.to('noChild')).jz(code.to('child')).jmp(code.to('parent'))
}

/** Appends the addresses of ESI texts to the pointers at RDX. RDI and RCX are the start and length of the texts. */
function emitTexts(code: Code): void {
  const { asm } = code
  const [next, end] = [asm.label(), asm.label()]
  code.at('texts').xor(eax, eax)
  asm.bind(next).sub(esi, 1).jc(end).test(rcx, rcx).jz(code.to('bad'))
  asm.mov(qword(rdx), rdi).add(edx, 8).repne().scasb().je(next).jmp(code.to('bad'))
  asm.bind(end).ret()
}

/** Continues in the agent, with the child's identifier in EAX. */
function emitParent(code: Code): void {
  const { asm } = code
  const [next, skip, known] = [asm.label(), asm.label(), asm.label()]
  code.at('parent').cmp(dword(VAR.CHILD_ERRNO), 0).jne(code.to('childFailed'))
  asm.mov(run(RUN.PID), eax).mov(dword(PAYLOAD), eax)
  asm.mov(eax, dword(ANSWER_ID)).mov(run(RUN.ID), eax)
  asm.or(ecx, -1)
  for (const [end, field] of [
    [PIPE.INPUT_END, RUN.INPUT],
    [PIPE.OUTPUT, RUN.POLL_OUTPUT],
    [PIPE.ERRORS, RUN.POLL_ERRORS],
  ] as const) {
    asm.mov(eax, dword(end)).mov(dword(end), ecx).mov(run(field), eax)
  }
  // The upper half of the events is the result of a poll, which must be 0: this turn still looks at results.
  asm.mov(run(RUN.POLL_INPUT), ecx)
  asm.mov(run(RUN.POLL_INPUT + 4), linux.POLLOUT)
  asm.mov(run(RUN.POLL_OUTPUT + 4), linux.POLLIN)
  asm.mov(run(RUN.POLL_ERRORS + 4), linux.POLLIN)
  asm.mov(run(RUN.STATE), RUNNING).mov(run(RUN.LEFT), 0)
  asm.mov(byte(VAR.BUSY), 1)
  asm.lea(eax, at(rbx, RUN_BYTES)).cmp(eax, r15d).jbe(known).mov(r15d, eax)
  asm.bind(known).call(code.to('closePipes')).mov(edx, 4).mov(al, Answer.Started).jmp(code.to('send'))

  code.at('closePipes').mov(esi, VAR.PIPES)
  asm.bind(next).mov(edi, dword(rsi)).test(edi, edi).js(skip)
  code.system(SYS.close)
  asm.bind(skip).add(esi, 4).cmp(esi, VAR.PIPES_END).jb(next).ret()
}

/** Answers for a Run that failed. */
function emitFailures(code: Code): void {
  const { asm } = code
  // The child is reaped here; its SIGCHLD then finds nothing, or the deaths of others.
  code.at('childFailed').mov(edi, eax)
  code.set(esi, 0)
  code.set(edx, linux.WALL)
  code.set(r10d, 0)
  code.system(SYS.wait4).call(code.to('closePipes'))
  asm.mov(eax, dword(VAR.CHILD_ERRNO)).mov(ecx, dword(VAR.CHILD_STAGE)).jmp(code.to('failed'))

  code.at('noChild').mov(r8d, eax).call(code.to('closePipes')).mov(eax, r8d)
  code.at('notRun').mov(ecx, Stage.Other)
  code
    .at('failed')
    .neg(eax)
    .mov(dword(PAYLOAD), eax)
    .mov(dword(PAYLOAD + 4), ecx)
  asm.mov(edx, 8).mov(al, Answer.Failed).jmp(code.to('sendBusy'))
}

/** The child. On failure it leaves -errno and the stage in R8D to the agent. */
function emitChild(code: Code): void {
  const { asm } = code
  const [input, own, next, remember, fail] = [asm.label(), asm.label(), asm.label(), asm.label(), asm.label()]
  const check = (): unknown => asm.test(eax, eax).js(fail)
  code.at('child')
  code.system(SYS.setsid)
  code.set(r8d, Stage.Other)
  asm.mov(edi, dword(VAR.NULL_FD)).test(given(REQUEST.FLAGS), RUN_INPUT).jz(input)
  asm.mov(edi, dword(PIPE.INPUT)).bind(input)
  code.set(esi, 0)
  code.system(SYS.dup2)
  check()
  for (const [descriptor, end] of [PIPE.OUTPUT_END, PIPE.ERRORS_END].entries()) {
    asm.mov(edi, dword(end)).mov(esi, descriptor + 1)
    code.system(SYS.dup2)
    check()
  }
  code.set(edi, linux.SIG_SETMASK)
  code.set(esi, VAR.ZEROS)
  code.set(edx, 0)
  code.set(r10d, linux.SIGNAL_SET_BYTES)
  code.system(SYS.rt_sigprocmask)

  // The group comes first: without the privileges of user 0 it could not change.
  asm.mov(rax, at(rbp, REQUEST.UID)).cmp(rax, qword(VAR.OWN_IDS)).je(own)
  code.set(edi, 0)
  code.set(esi, 0)
  code.system(SYS.setgroups)
  check()
  for (const [call, field] of [
    [SYS.setresgid, REQUEST.GID],
    [SYS.setresuid, REQUEST.UID],
  ] as const) {
    asm.mov(edi, given(field)).mov(esi, edi).mov(edx, edi)
    code.system(call)
    check()
  }

  asm.bind(own).mov(rdi, qword(POINTERS))
  code.set(r8d, Stage.Folder)
  code.system(SYS.chdir)
  check()

  // A later candidate runs where an earlier one is missing or not executable. EACCES is the most useful of the errors.
  code.set(r8d, Stage.Execute)
  asm
    .mov(r9d, -linux.ENOENT)
    .mov(ebx, POINTERS + 8)
    .mov(esi, dword(VAR.ARGV))
    .mov(edx, dword(VAR.ENVIRONMENT))
  asm.bind(next).mov(eax, r9d).cmp(rbx, rsi).jae(fail).mov(rdi, qword(rbx)).add(ebx, 8)
  code.system(SYS.execve)
  for (const error of [linux.ENOENT, linux.ENOTDIR]) asm.cmp(eax, -error).je(remember)
  asm.cmp(eax, -linux.EACCES).jne(fail).mov(r9d, eax).jmp(next)
  asm.bind(remember).cmp(r9d, -linux.EACCES).je(next).mov(r9d, eax).jmp(next)

  asm.bind(fail).mov(dword(VAR.CHILD_ERRNO), eax).mov(dword(VAR.CHILD_STAGE), r8d)
  code.set(edi, CHILD_EXIT)
  code.system(SYS.exit)
}
