/** The official client of the Model Context Protocol, and `retrap mcp` as its server. */
import { Client } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { COMPILED, retrapCommand } from './processes.ts'

/** The result of a tool, as far as tests look at it. */
export interface ToolAnswer {
  readonly isError: boolean
  readonly text: string
  readonly picture: Uint8Array | undefined
  readonly data: Record<string, unknown>
}

export interface McpServer {
  readonly client: Client
  readonly pid: number
  readonly log: () => string
  readonly call: (tool: string, given?: Record<string, unknown>, signal?: AbortSignal) => Promise<ToolAnswer>
}

/** Starts a server. @param deadlineMs - of each call */
export async function startMcp(args: readonly string[], deadlineMs: number): Promise<McpServer> {
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [...retrapCommand(['mcp', ...args])],
    stderr: 'pipe',
    env: { ...(process.env as Record<string, string>), NODE_COMPILE_CACHE: COMPILED },
  })
  let log = ''
  transport.stderr?.on('data', (bytes: Uint8Array) => (log += new TextDecoder().decode(bytes)))
  const client = new Client({ name: 'test', version: '1.0.0' })
  await client.connect(transport, { timeout: deadlineMs })
  return {
    client,
    pid: transport.pid ?? 0,
    log: () => log,
    async call(name, given = {}, signal) {
      const options = { timeout: deadlineMs, ...(signal !== undefined && { signal }) }
      const { content, isError, structuredContent } = await client.callTool({ name, arguments: given }, options)
      const parts = content as readonly { readonly type: string; readonly text?: string; readonly data?: string }[]
      const picture = parts.find(({ type }) => type === 'image')?.data
      return {
        isError: isError === true,
        text: parts.map(({ text = '' }) => text).join('\n'),
        picture: picture === undefined ? undefined : new Uint8Array(Buffer.from(picture, 'base64')),
        data: (structuredContent ?? {}) as Record<string, unknown>,
      }
    },
  }
}
