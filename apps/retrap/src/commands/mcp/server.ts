import { type Readable, type Writable, Transform, type TransformCallback } from 'node:stream'
import { type CallToolResult, Server, STDIO_DEFAULT_MAX_BUFFER_SIZE } from '@modelcontextprotocol/server'
import { StdioServerTransport } from '@modelcontextprotocol/server/stdio'
import { z } from 'zod'
import { explainError } from '../../errors.ts'
import { backgroundTools } from './background-tools.ts'
import { Call } from './call.ts'
import { debugTools } from './debug-tools.ts'
import type { NamedFolders } from './folders.ts'
import { diffTool } from './diff-tool.ts'
import { guestTools } from './guest-tools.ts'
import { machineTools, runText } from './machine-tools.ts'
import { type MachineLimits, Machines } from './machines.ts'
import type { Tool } from './tool.ts'
import { ToolError } from './tool-error.ts'

const NEWLINE = 0x0a
/** Number of bytes at each end of a frame that are searched for its id. */
const ENDS_BYTES = 512
const ID = String.raw`"id"\s*:\s*(\d{1,15}|"[^"\\]{1,100}")`
const FIRST_ID = new RegExp(String.raw`^\s*\{(?:\s*"jsonrpc"\s*:\s*"2\.0"\s*,)?\s*${ID}`)
const LAST_ID = new RegExp(String.raw`${ID}\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$`)

/**
 * Passes on frames (lines), each whole. The protocol's own reader ends the server at a frame that is too long; such a frame is
 * dropped here.
 *
 * @param refuse - takes the error reply of a frame that was dropped
 */
export function frameLines(refuse: (reply: string) => void): Transform {
  let parts: Buffer[] = []
  let length = 0
  let ends: readonly [Buffer, Buffer] = [Buffer.alloc(0), Buffer.alloc(0)]
  const add = (part: Buffer): void => {
    const before = length
    length += part.length
    if (length <= STDIO_DEFAULT_MAX_BUFFER_SIZE) {
      parts.push(part)
      return
    }
    if (before <= STDIO_DEFAULT_MAX_BUFFER_SIZE) {
      const whole = Buffer.concat(parts)
      ends = [Buffer.from(whole.subarray(0, ENDS_BYTES)), whole.subarray(-ENDS_BYTES)]
      parts = []
    }
    ends = [ends[0], Buffer.from(Buffer.concat([ends[1], part]).subarray(-ENDS_BYTES))]
  }
  return new Transform({
    transform(this: Transform, chunk: Buffer, _: BufferEncoding, done: TransformCallback) {
      for (let at = 0; at < chunk.length;) {
        const newline = chunk.indexOf(NEWLINE, at)
        const end = newline < 0 ? chunk.length : newline + 1
        add(chunk.subarray(at, end))
        at = end
        if (newline < 0) break
        if (length <= STDIO_DEFAULT_MAX_BUFFER_SIZE) this.push(Buffer.concat(parts))
        else refuse(replyTo(ends))
        parts = []
        length = 0
      }
      done()
    },
  })
}

function replyTo([first, last]: readonly [Buffer, Buffer]): string {
  const [, id = 'null'] = FIRST_ID.exec(first.toString()) ?? LAST_ID.exec(last.toString()) ?? []
  const message = `a message of more than ${STDIO_DEFAULT_MAX_BUFFER_SIZE} bytes is refused`
  // JSON-RPC 2.0, "Error object": -32600 is Invalid Request.
  return `{"jsonrpc":"2.0","id":${id},"error":{"code":-32600,"message":"${message}"}}\n`
}

/** Parts and limits of a server. */
export interface McpServerOptions {
  readonly version: string
  readonly folders: NamedFolders
  /** Whether guests may have a network that reaches the host and beyond. */
  readonly allowsNetwork: boolean
  readonly limits: MachineLimits
  /** Seconds that a call may ask for. */
  readonly mostSeconds: number
  readonly stdin: Readable
  readonly stdout: Writable
  readonly embeddedGuest: () => Uint8Array | Promise<Uint8Array>
  /** Logs a line; stdout is the protocol's. */
  readonly tell: (line: string) => void
  /** Ends the server. */
  readonly signal: AbortSignal
}

/** Default time limit of a call, in seconds. */
const USUAL_SECONDS = 60
/** Calls at a time. */
const MOST_CALLS = 32

const INSTRUCTIONS = `Emulated PCs and Arm boards: boot one, then exec commands (system debian), or type on its console and wait_for output. A machine stands still between calls, unless resume or forward has it run in the background; each answer says which. fork copies one in milliseconds; checkpoint and reset go back to an instant. A machine that was booted or forked with record: true can be shown at any instruction of its past (go_to), and says who wrote an address (who_wrote).`

/** Serves tools on a client's pipes until they are closed. */
export async function serveMcp(options: McpServerOptions): Promise<void> {
  const { version, limits, mostSeconds, stdin, stdout, signal, tell } = options
  const machines = new Machines(limits)
  const timeout = z
    .number()
    .min(0.1)
    .max(mostSeconds)
    .optional()
    .describe(`seconds of the host that the call may take, at most ${mostSeconds}; default ${USUAL_SECONDS}`)
  const parts = { ...options, machines, timeout }
  const tools = new Map(
    [
      ...machineTools(parts),
      ...guestTools(parts),
      diffTool(parts),
      ...backgroundTools(parts),
      ...debugTools(parts),
    ].map((each) => [each.name, each] as const),
  )
  const server = new Server({ name: 'retrap', version }, { capabilities: { tools: {} }, instructions: INSTRUCTIONS })
  server.onerror = (error) => tell(`mcp: ${error.message.slice(0, 500)}`)
  server.setRequestHandler('tools/list', () => ({ tools: [...tools.values()].map(listed) }))
  let calls = 0
  server.setRequestHandler('tools/call', async ({ params }, { mcpReq }): Promise<CallToolResult> => {
    calls++
    try {
      if (calls > MOST_CALLS) throw new ToolError('ERR_LIMIT', `more than ${MOST_CALLS} calls at a time: wait for one`)
      const found = tools.get(params.name)
      if (found === undefined) throw new ToolError('ERR_ARGUMENT', `there is no tool ${params.name}`)
      const either = AbortSignal.any([mcpReq.signal, signal])
      const callFor = (seconds = USUAL_SECONDS): Call => new Call(Math.min(seconds, mostSeconds), either)
      const result = await found.run(params.arguments ?? {}, callFor)
      const { machine } = { ...params.arguments, ...(result.structuredContent as Record<string, unknown> | undefined) }
      return withRunState(result, machines, machine)
    } catch (error) {
      return withRunState(failure(error, tell), machines, params.arguments?.['machine'])
    } finally {
      calls--
    }
  })
  const { promise: closed, resolve: close } = Promise.withResolvers<void>()
  server.onclose = close
  stdin.once('end', close)
  stdin.once('close', close)
  // The client is gone: output has no reader.
  stdout.once('error', close)
  signal.addEventListener('abort', () => close())
  const lines = frameLines((reply) => void stdout.write(reply))
  try {
    await server.connect(new StdioServerTransport(stdin.pipe(lines), stdout))
    await closed
    await server.close()
  } finally {
    stdin.unpipe(lines).pause()
    await machines.close()
  }
}

const listed = ({ name, description, inputSchema, isReadOnly }: Tool) => ({
  name,
  description,
  inputSchema,
  annotations: { readOnlyHint: isReadOnly, openWorldHint: false },
})

/** Adds to an answer about a machine whether it runs now. @param name - the machine's name; may be any value */
function withRunState(result: CallToolResult, machines: Machines, name: unknown): CallToolResult {
  const machine = machines.all.find(({ facts }) => facts.name === name)
  if (machine === undefined) return result
  return {
    ...result,
    content: [...result.content, { type: 'text', text: `${machine.facts.name} ${runText(machine)}` }],
  }
}

/** Returns an error as a tool's result, so that the calling model reads the remedy. */
function failure(error: unknown, tell: (line: string) => void): CallToolResult {
  if (error instanceof ToolError) return failed(`${error.code}: ${error.message}${error.printed}`)
  const known = explainError(error)
  if (known !== undefined) return failed(known.message)
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof Error && 'code' in error && /^ERR_[A-Z_]+$/.test(String(error.code)))
    return failed(`${String(error.code)}: ${message}`)
  tell(`mcp: ${error instanceof Error ? error.stack : String(error)}`)
  return failed(`an error of retrap's own: ${message}`)
}

const failed = (message: string): CallToolResult => ({ content: [{ type: 'text', text: message }], isError: true })
