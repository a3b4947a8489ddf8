import {
  al,
  byte,
  eax,
  edi,
  edx,
  esi,
  qword,
  r10,
  r10d,
  r12,
  r8,
  r8d,
  r9,
  rax,
  rbp,
  rcx,
  rdi,
  rdx,
  rsi,
} from '@retrap/x86-assembler'
import { at, CHUNK, type Code, given, PAYLOAD } from './code.ts'
import * as linux from './linux.ts'
import { Answer, MAKE_PARENTS, MOST_READ, STAT_LINK, WRITE_APPEND } from './protocol.ts'

const { SYS } = linux

// A FIFO or a terminal must not block the agent, and no terminal may become its own.
const OPEN = linux.O_CLOEXEC | linux.O_NONBLOCK | linux.O_NOCTTY

const SLASH = 0x2f
/** Removes MAKE_PARENTS from a byte of flags. */
const KEEP_OTHERS = 0xfd
const FOLDER_MODE = 0o777

/** Handlers of requests about files, the clock and random numbers. */
export function emitFiles(code: Code): void {
  emitWrite(code)
  emitRead(code)
  emitList(code)
  emitStat(code)
  emitRemoveAndRename(code)
  emitMakeFolder(code)
  emitSkipText(code)

  code.at('time').mov(rsi, rbp) // The payload has the shape of struct timespec.
  code.set(edi, linux.CLOCK_REALTIME)
  code.system(SYS.clock_settime).jmp(code.to('result'))

  const { asm } = code
  code
    .at('entropy')
    .mov(edi, code.to('random'))
    .mov(esi, OPEN | linux.O_WRONLY)
  code.system(SYS.open).test(eax, eax).js(code.to('result'))
  asm.mov(edi, eax).mov(esi, linux.RNDADDENTROPY).mov(rdx, rbp)
  code.system(SYS.ioctl).mov(esi, linux.RNDRESEEDCRNG)
  code.system(SYS.ioctl)
  code.system(SYS.close).jmp(code.to('result'))
}

function emitWrite(code: Code): void {
  const { asm } = code
  const [open, more, close] = [asm.label(), asm.label(), asm.label()]
  code.at('write').lea(rdi, at(rbp, 8)).mov(r8, rdi).call(code.to('skipText'))
  asm.mov(r10, rdi) // the data
  const flags = OPEN | linux.O_WRONLY | linux.O_CREAT
  asm
    .mov(esi, flags | linux.O_TRUNC)
    .test(byte(rbp), WRITE_APPEND)
    .jz(open)
  asm.mov(esi, flags | linux.O_APPEND)
  asm.bind(open).mov(rdi, r8).mov(edx, given(4))
  code.system(SYS.open).call(code.to('parents')).je(open)
  asm.test(eax, eax).js(code.to('result'))

  asm.mov(edi, eax).mov(rsi, r10).xor(r8d, r8d)
  asm.bind(more).mov(rdx, r12).sub(rdx, rsi).jz(close)
  code.system(SYS.write).add(rsi, rax).test(rax, rax).jg(more)
  asm.mov(r8, rax)
  asm.bind(close)
  // Some filesystems report a failed write when the file is closed.
  code.system(SYS.close).test(r8, r8).jz(code.to('result'))
  asm.mov(rax, r8).jmp(code.to('result'))
}

function emitRead(code: Code): void {
  const { asm } = code
  const [most, more, close] = [asm.label(), asm.label(), asm.label()]
  code.at('read').lea(rdi, at(rbp, 12)).mov(esi, OPEN)
  code.system(SYS.open).test(eax, eax).js(code.to('result'))
  asm.mov(edi, eax).mov(r10, qword(rbp)).mov(edx, given(8)).mov(esi, PAYLOAD)
  asm.cmp(edx, MOST_READ).jbe(most).mov(edx, MOST_READ)
  asm.bind(most).xor(eax, eax).test(edx, edx).jz(close)
  // A short read is not the end in /proc and the like.
  asm.bind(more)
  code.system(SYS.pread64).test(rax, rax).jle(close)
  asm.add(rsi, rax).add(r10, rax).sub(edx, eax).jnz(more)
  asm.bind(close).mov(r8, rax)
  code.system(SYS.close).mov(rax, r8).test(rax, rax).js(code.to('result'))
  asm.lea(edx, at(rsi, -PAYLOAD)).mov(al, Answer.Data).jmp(code.to('sendBusy'))
}

function emitList(code: Code): void {
  const { asm } = code
  const [more, close] = [asm.label(), asm.label()]
  code
    .at('list')
    .mov(rdi, rbp)
    .mov(esi, OPEN | linux.O_DIRECTORY)
  code.system(SYS.open).test(eax, eax).js(code.to('result'))
  asm.mov(r8d, eax)
  asm.bind(more).mov(edi, r8d).mov(esi, PAYLOAD).mov(edx, CHUNK)
  code.system(SYS.getdents64).test(eax, eax).jle(close)
  asm.mov(edx, eax).mov(al, Answer.Entries).call(code.to('send')).jmp(more)
  asm.bind(close).mov(r10d, eax)
  code.system(SYS.close).mov(eax, r10d).jmp(code.to('result'))
}

function emitStat(code: Code): void {
  const { asm } = code
  const follow = asm.label()
  code.at('stat').lea(rsi, at(rbp, 4)).mov(edi, linux.AT_FDCWD).xor(edx, edx)
  asm.test(byte(rbp), STAT_LINK).jz(follow).mov(edx, linux.AT_SYMLINK_NOFOLLOW)
  asm.bind(follow).mov(r10d, linux.STATX_BASIC_STATS).mov(r8d, PAYLOAD)
  code.system(SYS.statx).test(eax, eax).js(code.to('result'))
  asm.mov(edx, linux.STATX_BYTES).mov(al, Answer.Data).jmp(code.to('sendBusy'))
}

function emitRemoveAndRename(code: Code): void {
  const { asm } = code
  code.at('remove').mov(rdi, rbp)
  code.system(SYS.unlink).cmp(eax, -linux.EISDIR).jne(code.to('result'))
  code.system(SYS.rmdir).jmp(code.to('result'))

  code.at('rename').mov(rdi, rbp).call(code.to('skipText'))
  asm.mov(rsi, rdi).mov(rdi, rbp)
  code.system(SYS.rename).jmp(code.to('result'))
}

function emitMakeFolder(code: Code): void {
  const { asm } = code
  const again = asm.label()
  code.at('makeFolder').lea(r8, at(rbp, 8))
  asm.bind(again).mov(rdi, r8).mov(esi, given(4))
  code.system(SYS.mkdir).call(code.to('parents')).je(again)
  asm.jmp(code.to('result'))

  // After a failure in EAX with the path in R8 and flags at RBP: makes missing folders if they are the reason and the
  // request allows it. ZF: the caller may try again, once. RSI and EDX are as before; a failure to make folders is the
  // second try's to report.
  const [next, end, refused, no] = [asm.label(), asm.label(), asm.label(), asm.label()]
  code.at('parents').cmp(eax, -linux.ENOENT).jne(no).test(byte(rbp), MAKE_PARENTS).jz(refused)
  asm.and(byte(rbp), KEEP_OTHERS).mov(r9, r8).push(rsi).mov(esi, FOLDER_MODE).mov(rdi, r8)
  asm.bind(next).inc(r9).cmp(byte(r9), 0).je(end).cmp(byte(r9), SLASH).jne(next)
  asm.mov(byte(r9), 0)
  code.system(SYS.mkdir).mov(byte(r9), SLASH).jmp(next)
  asm.bind(end).pop(rsi).cmp(eax, eax)
  asm.bind(no).ret()
  asm.bind(refused).test(eax, eax).ret()
}

/** A routine that moves RDI, in the request, behind a text. RCX is the rest of the request's bytes. */
function emitSkipText(code: Code): void {
  const { asm } = code
  code.at('skipText').mov(rcx, r12).sub(rcx, rdi).jbe(code.to('bad'))
  asm.xor(eax, eax).repne().scasb().jne(code.to('bad')).ret()
}
