import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AGENT_PROGRAM } from '../src/agent/agent-program.ts'
import { encodeFrame } from '../src/agent/frames.ts'
import { Answer, Request, RUN_INPUT, Stage } from '../src/agent/protocol.ts'
import { Agent, busy, OWN_IDS, u32 } from './agent-client.ts'
import { expectedOf, fileOperation, requestOf, resultOf } from './agent-files.ts'

const [ENOENT, EAGAIN, EACCES, ENOTDIR] = [2, 11, 13, 20]
const [SIGKILL, SIGTERM] = [9, 15]

const top = temporaryFolder('agent')
const root = join(top, 'root')
let agent: Agent

describe.skipIf(process.arch !== 'x64' || process.platform !== 'linux')('the agent, on the Linux of the tests', () => {
  beforeAll(async () => {
    fs.chmodSync(top, 0o755)
    fs.writeFileSync(join(top, 'agent'), AGENT_PROGRAM, { encoding: 'base64', mode: 0o755 })
    fs.mkdirSync(root)
    agent = new Agent(join(top, 'agent'), root)
    await agent.answer(0, Answer.Ready)
  })
  afterAll(async () => {
    agent.process.stdin.end()
    expect(await agent.exit).toBe(0)
  })

  test.each([
    { script: 'echo hello; exit 3', output: 'hello\n', errors: '', status: 3 << 8 },
    { script: 'echo bad >&2', output: '', errors: 'bad\n', status: 0 },
    { script: 'kill -9 $$', output: '', errors: '', status: SIGKILL },
    { script: 'seq 100000', output: /^1\n[^]*\n100000\n$/, errors: '', status: 0 },
    { script: 'cat; echo $PATH; pwd', output: `/usr/bin:/bin\n${root}\n`, errors: '', status: 0 },
    { script: 'ls /proc/self/fd', output: '0\n1\n2\n3\n', errors: '', status: 0 },
    { script: 'grep -cE "Sig(Blk|Ign).*0{16}" /proc/self/status', output: '2\n', errors: '', status: 0 },
    { script: 'exec >&- 2>&-; exit 4', output: '', errors: '', status: 4 << 8 },
  ])('runs `$script`', async ({ script, output, errors, status }) => {
    const id = agent.shell(script)
    const exit = await agent.end(id)
    expect([exit.type, u32(exit), busy(exit)]).toEqual([Answer.Exit, status, 0])
    expect(agent.output(id)).toMatch(output)
    expect(agent.joined(id, Answer.ErrorOutput).toString()).toBe(errors)
  })

  test.each([
    { given: 'a missing program', run: { paths: ['/no', '/bin/sh/sh'] }, errno: ENOTDIR, stage: Stage.Execute },
    { given: 'a file without a right', run: { paths: ['/etc/passwd', '/no'] }, errno: EACCES, stage: Stage.Execute },
    { given: 'no candidate', run: { paths: [] }, errno: ENOENT, stage: Stage.Execute },
    { given: 'a missing folder', run: { folder: '/no' }, errno: ENOENT, stage: Stage.Folder },
  ])('reports $given', async ({ run, errno, stage }) => {
    const failed = await agent.end(agent.shell('', run))
    expect([failed.type, u32(failed), u32(failed, 1), busy(failed)]).toEqual([Answer.Failed, errno, stage, 0])
  })

  test('tries candidates in turn, and runs two programs at once', async () => {
    const paths = ['/no', '/etc/passwd', '/bin/sh']
    const first = agent.shell('until test -e file; do sleep 0.01; done; echo first', { paths })
    const second = agent.shell('echo > file; echo second', { paths })
    for (const id of [first, second]) expect(u32(await agent.end(id))).toBe(0)
    expect([first, second].map((id) => agent.output(id))).toEqual(['first\n', 'second\n'])
  })

  test.skipIf(OWN_IDS[0] !== 0)('runs a program as another user, in one group', async () => {
    const id = agent.shell('id -u; id -G', { ids: [1234, 2345] })
    await agent.end(id)
    expect(agent.output(id)).toBe('1234\n2345\n')
  })

  test('feeds 1 MiB of input to a program that reads late', async () => {
    const input = Buffer.from(Array.from({ length: 1 << 20 }, (_, index) => index % 251))
    const id = agent.shell('sleep 0.1; cat', { flags: RUN_INPUT })
    for (let at = 0; at < input.length; at += 0x8000) {
      agent.tell(id, Request.Input, input.subarray(at, at + 0x8000))
      if (at + 0x8000 === input.length) agent.tell(id, Request.InputEnd)
      const taken = await agent.answer(id, Answer.Taken)
      expect(taken.payload).toHaveLength(0)
      agent.frames.splice(agent.frames.indexOf(taken), 1)
    }
    expect(u32(await agent.end(id))).toBe(0)
    expect(agent.joined(id, Answer.Output).equals(input)).toBe(true)
  })

  test('tells that a program has closed its input', async () => {
    const id = agent.shell('exec <&-; echo closed; exec sleep 100', { flags: RUN_INPUT })
    await agent.answer(id, Answer.Output)
    agent.tell(id, Request.Input, 'lost')
    expect([...(await agent.answer(id, Answer.Taken)).payload]).toEqual([1])
    agent.tell(id, Request.Kill, SIGKILL)
    await agent.end(id)
  })

  test('ends a run whose output a background process holds, and is idle later', async () => {
    const id = agent.shell('(sleep 0.3; echo late) & echo early')
    expect(busy(await agent.end(id))).toBe(1)
    expect(busy(await agent.ask(Request.Ping))).toBe(1)
    await agent.answer(0, Answer.Idle)
    expect(agent.output(id)).toBe('early\n')
    expect(busy(await agent.ask(Request.Ping))).toBe(0)
  })

  test('kills a group', async () => {
    const id = agent.shell('sleep 100 & sleep 100; echo no')
    agent.tell(id, Request.Kill, SIGTERM)
    expect(u32(await agent.end(id))).toBe(SIGTERM)
    agent.tell(id, Request.Kill, SIGTERM)
    await agent.idle()
  })

  test('has 32 runs, and answers a Read while they print without end', async () => {
    fs.writeFileSync(join(root, 'read'), 'text')
    const ids = Array.from({ length: 32 }, () => agent.shell('exec yes'))
    const failed = await agent.end(agent.shell(''))
    expect([u32(failed), u32(failed, 1), busy(failed)]).toEqual([EAGAIN, Stage.Other, 1])
    expect(Buffer.from((await agent.ask(Request.Read, 0n, 100, 'read')).payload).toString()).toBe('text\x01')
    for (const id of ids) agent.tell(id, Request.Kill, SIGKILL)
    for (const id of ids) expect(u32(await agent.end(id))).toBe(SIGKILL)
    await agent.idle()
    agent.frames.length = 0
  })

  test('sets no clock without the right to, and rejects an invalid time', async () => {
    expect((await agent.ask(Request.Time, 0n, 10n ** 9n)).type).toBe(Answer.Error)
  })

  test.each([
    { given: 'a length without a header', bytes: [4, 0, 0, 0] },
    { given: 'a length above 256 KiB', bytes: [1, 0, 4, 0] },
    { given: 'an unknown type', bytes: [...encodeFrame(Object.keys(Request).length + 1, 1)] },
    { given: 'a text without an end', bytes: [...encodeFrame(Request.Rename, 1, Buffer.from('a'))] },
    { given: 'a run of too many texts', bytes: [...encodeFrame(Request.Run, 1, 0, 0, 0, 0, 2, 0, 'one')] },
  ])('exits with 2 on $given', async ({ bytes }) => {
    const other = new Agent(join(top, 'agent'), root)
    other.write(Uint8Array.from(bytes))
    expect(await other.exit).toBe(2)
  })

  test('has the folder as its root without an argument, or exits with 1', async () => {
    const other = new Agent(join(top, 'agent'), root, [])
    if (OWN_IDS[0] === 0) {
      await other.ask(Request.Write, 0, 0o600, '/rooted', Buffer.from('text'))
      expect(fs.readFileSync(join(root, 'rooted'), 'latin1')).toBe('text')
      other.process.stdin.end()
    }
    expect(await other.exit).toBe(OWN_IDS[0] === 0 ? 0 : 1)
  })

  test('answers as node:fs does, wherever requests are cut', async () => {
    let count = 0
    const cases = fc.array(fileOperation, { minLength: 1, maxLength: 12 })
    const property = fc.asyncProperty(cases, fc.array(fc.nat(40)), async (operations, cuts) => {
      const [folder, twin] = [join(root, `${++count}`), join(top, `twin${count}`)]
      for (const path of [folder, twin]) fs.mkdirSync(path)
      for (const path of [folder, twin]) fs.symlinkSync('a', join(path, 'link'))
      agent.frames.length = 0
      const frames = operations.map((one) => agent.encode(Request[one.type], ...requestOf(one, folder)))
      let bytes = Buffer.concat(frames)
      for (const cut of cuts) {
        agent.write(bytes.subarray(0, cut))
        bytes = bytes.subarray(cut)
        await new Promise(setImmediate)
      }
      agent.write(bytes)
      for (const [index, one] of operations.entries()) {
        const id = Buffer.from(frames[index]!).readUInt32LE(5)
        const end = await agent.end(id)
        const data =
          end.type === Answer.Data ? Buffer.from(end.payload.subarray(0, -1)) : agent.joined(id, Answer.Entries)
        const result = end.type === Answer.Error ? -u32(end) : resultOf(one, data)
        expect([one.type, one.path, busy(end), result]).toEqual([one.type, one.path, 0, expectedOf(one, twin)])
      }
    })
    await fc.assert(property)
  })
})

const FLAGS =
  '-Os -ffreestanding -fno-builtin -fno-tree-loop-distribute-patterns -fno-strict-aliasing -fno-stack-protector -fno-asynchronous-unwind-tables -fno-ident -fno-pic -no-pie -static -nostdlib -mgeneral-regs-only -s -Wall -Wextra -Werror -Wl,--build-id=none,-z,noseparate-code,-z,noexecstack,-z,max-page-size=4096'

// npx vitest run agent -u writes the module anew.
test('the agent is its source, by the compiler of Debian 12', async () => {
  const compiler = process.arch === 'x64' ? 'gcc' : 'x86_64-linux-gnu-gcc'
  const isThere = hasProgram(compiler) && `${execFileSync(compiler, ['-dumpfullversion'])}` === '12.2.0\n'
  if (!isThere) return console.log(skipNote(false, `there is no ${compiler} 12.2.0`))
  const made = join(temporaryFolder('agent'), 'agent')
  execFileSync(compiler, [...FLAGS.split(' '), '-o', made, join(import.meta.dirname, '../src/agent/agent.c')])
  const lines = fs
    .readFileSync(made, 'base64')
    .match(/.{1,112}/g)
    ?.map((line) => `  '${line}'`)
  const module = `// Generated by test/agent.test.ts out of agent.c.

/** The agent, in base64. */
export const AGENT_PROGRAM: string =
${lines?.join(' +\n')}
`
  await expect(module).toMatchFileSnapshot('../src/agent/agent-program.ts')
})
