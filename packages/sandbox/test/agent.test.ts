import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildAgent } from '../src/agent/agent.ts'
import { encodeFrame } from '../src/agent/frames.ts'
import { Answer, Request, RUN_INPUT, Stage } from '../src/agent/protocol.ts'
import { Agent, busy, OWN_IDS, u32 } from './agent-client.ts'
import { fileOperation } from './agent-files.ts'

const [ENOENT, EAGAIN, EACCES, ENOTDIR] = [2, 11, 13, 20]
const [SIGKILL, SIGTERM] = [9, 15]

const top = fs.mkdtempSync(join(tmpdir(), 'retrap-agent-'))
const root = join(top, 'root')
let agent: Agent

describe.skipIf(process.arch !== 'x64' || process.platform !== 'linux')('the agent, on the Linux of the tests', () => {
  beforeAll(async () => {
    fs.chmodSync(top, 0o755)
    fs.writeFileSync(join(top, 'agent'), buildAgent(), { mode: 0o755 })
    fs.mkdirSync(root)
    agent = new Agent(join(top, 'agent'), root)
    await agent.answer(0, Answer.Ready)
  })
  afterAll(async () => {
    agent.process.stdin?.end()
    expect(await agent.exit).toBe(0)
    fs.rmSync(top, { recursive: true })
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
    expect(agent.joined(id, Answer.Output).toString()).toMatch(output)
    expect(agent.joined(id, Answer.ErrorOutput).toString()).toBe(errors)
  })

  test.each([
    { given: 'a missing program', run: { paths: ['/no', '/bin/sh/sh'] }, errno: ENOTDIR, stage: Stage.Execute },
    { given: 'a file without a right', run: { paths: ['/etc/passwd', '/no'] }, errno: EACCES, stage: Stage.Execute },
    { given: 'no candidate', run: { paths: [] }, errno: ENOENT, stage: Stage.Execute },
    { given: 'a missing folder', run: { folder: '/no' }, errno: ENOENT, stage: Stage.Folder },
  ])('reports $given', async ({ run, errno, stage }) => {
    const failed = await agent.end(agent.run(run))
    expect([failed.type, u32(failed), u32(failed, 1), busy(failed)]).toEqual([Answer.Failed, errno, stage, 0])
  })

  test('tries candidates in turn, and runs two programs at once', async () => {
    const paths = ['/no', '/etc/passwd', '/bin/sh']
    const first = agent.shell('until test -e file; do sleep 0.01; done; echo first', { paths })
    const second = agent.shell('echo > file; echo second', { paths })
    for (const id of [first, second]) expect(u32(await agent.end(id))).toBe(0)
    expect([first, second].map((id) => agent.joined(id, Answer.Output).toString())).toEqual(['first\n', 'second\n'])
  })

  test.skipIf(OWN_IDS[0] !== 0)('runs a program as another user, in one group', async () => {
    const id = agent.shell('id -u; id -G', { ids: [1234, 2345] })
    await agent.end(id)
    expect(agent.joined(id, Answer.Output).toString()).toBe('1234\n2345\n')
  })

  test('feeds 1 MiB of input to a program that reads late', async () => {
    const input = Buffer.from(Array.from({ length: 1 << 20 }, (_, index) => index % 251))
    const id = agent.shell('sleep 0.1; cat', { flags: RUN_INPUT })
    for (let at = 0; at < input.length; at += 0x8000) {
      agent.write(encodeFrame(Request.Input, id, input.subarray(at, at + 0x8000)))
      if (at + 0x8000 === input.length) agent.write(encodeFrame(Request.InputEnd, id))
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
    agent.write(encodeFrame(Request.Input, id, 'lost'))
    expect([...(await agent.answer(id, Answer.Taken)).payload]).toEqual([1])
    agent.write(encodeFrame(Request.Kill, id, SIGKILL))
    await agent.end(id)
  })

  test('ends a run whose output a background process holds, and is idle later', async () => {
    const id = agent.shell('(sleep 0.3; echo late) & echo early')
    expect(busy(await agent.end(id))).toBe(1)
    expect(busy(await agent.ask(Request.Ping))).toBe(1)
    await agent.answer(0, Answer.Idle)
    expect(agent.joined(id, Answer.Output).toString()).toBe('early\n')
    expect(busy(await agent.ask(Request.Ping))).toBe(0)
  })

  test('kills a group', async () => {
    const id = agent.shell('sleep 100 & sleep 100; echo no')
    agent.write(encodeFrame(Request.Kill, id, SIGTERM))
    expect(u32(await agent.end(id))).toBe(SIGTERM)
    agent.write(encodeFrame(Request.Kill, id, SIGTERM))
    await agent.idle()
  })

  test('has 32 runs, and answers a Read while they print without end', async () => {
    fs.writeFileSync(join(root, 'read'), 'text')
    const ids = Array.from({ length: 32 }, () => agent.shell('exec yes'))
    const failed = await agent.end(agent.shell(''))
    expect([u32(failed), u32(failed, 1), busy(failed)]).toEqual([EAGAIN, Stage.Other, 1])
    expect(Buffer.from((await agent.ask(Request.Read, 0n, 100, 'read')).payload).toString()).toBe('text\x01')
    for (const id of ids) agent.write(encodeFrame(Request.Kill, id, SIGKILL))
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
      other.process.stdin?.end()
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
      const requests = operations.map((one) => ({ one, frame: agent.encode(...one.request(folder)) }))
      let bytes = Buffer.concat(requests.map(({ frame }) => frame))
      for (const cut of cuts) {
        agent.write(bytes.subarray(0, cut))
        bytes = bytes.subarray(cut)
        await new Promise(setImmediate)
      }
      agent.write(bytes)
      for (const { one, frame } of requests) {
        const id = Buffer.from(frame).readUInt32LE(5)
        const end = await agent.end(id)
        const entries = agent.joined(id, Answer.Entries)
        const data = end.type === Answer.Data ? Buffer.from(end.payload.subarray(0, -1)) : entries
        const result = end.type === Answer.Error ? -u32(end) : one.result(data)
        expect([one.name, busy(end), result]).toEqual([one.name, 0, attempt(() => one.expected(twin))])
      }
    })
    await fc.assert(property)
  })
})

/** The result of a call of node:fs, or its negative errno. */
function attempt(call: () => unknown): unknown {
  try {
    return call()
  } catch (error) {
    return (error as NodeJS.ErrnoException).errno
  }
}
