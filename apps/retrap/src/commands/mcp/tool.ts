import type { CallToolResult } from '@modelcontextprotocol/server'
import { z } from 'zod'
import type { Call } from './call.ts'
import type { Machines } from './machines.ts'
import { ToolError } from './tool-error.ts'
import type { ToolMachine } from './tool-machine.ts'

export interface Tool {
  readonly name: string
  /** The effect of the tool, for the model that calls it. */
  readonly description: string
  /** The tool changes nothing. */
  readonly isReadOnly: boolean
  /** JSON Schema of the tool's arguments. */
  readonly inputSchema: { readonly type: 'object' }
  /** @param given - unchecked arguments @throws ToolError `ERR_ARGUMENT` and others */
  run(given: unknown, callFor: CallFor): Promise<CallToolResult>
}

/** Makes the call of a tool. @param seconds - most time of the call; default the server's limit */
export type CallFor = (seconds: number | undefined) => Call

/** Arguments of most tools. */
export const machineArgument: z.ZodString = z.string().min(1).max(32).describe('name of the machine')
/** An address, as JSON numbers have no 64 bits. */
export const addressArgument: z.ZodString = z
  .string()
  .regex(/^(?:0x[\da-fA-F]{1,16}|\d{1,19})$/)
  .describe('as 0xffffffff81000000 or in decimal')

/** Parts of the server that tools of machines use. */
export interface ToolParts {
  readonly machines: Machines
  /** The argument `timeoutSeconds`, up to the server's limit. */
  readonly timeout: z.ZodOptional<z.ZodNumber>
}

/** Makes tools that ask something of a machine, which may take its time: both are arguments of them. */
export const machineToolOf =
  ({ machines, timeout }: ToolParts) =>
  <Shape extends z.ZodRawShape>(
    name: string,
    description: string,
    shape: Shape,
    run: (machine: ToolMachine, given: z.output<z.ZodObject<Shape>>, call: Call) => Promise<CallToolResult>,
    options?: { readonly isReadOnly: boolean },
  ): Tool => {
    const ofMachine = { machine: machineArgument, ...shape, timeoutSeconds: timeout }
    const runOn = (given: unknown, call: Call): Promise<CallToolResult> =>
      run(machines.get((given as { machine: string }).machine), given as z.output<z.ZodObject<Shape>>, call)
    return tool(name, description, ofMachine, runOn, options)
  }

/** Makes a tool. @param shape - the schema of its arguments, all others are refused */
export function tool<Shape extends z.ZodRawShape>(
  name: string,
  description: string,
  shape: Shape,
  run: (given: z.output<z.ZodObject<Shape>>, call: Call) => Promise<CallToolResult>,
  { isReadOnly = false, seconds }: { readonly isReadOnly?: boolean; readonly seconds?: number } = {},
): Tool {
  const schema = z.strictObject(shape)
  return {
    name,
    description,
    isReadOnly,
    inputSchema: z.toJSONSchema(schema, { io: 'input' }) as Tool['inputSchema'],
    async run(given, callFor) {
      const parsed = schema.safeParse(given)
      if (!parsed.success) throw new ToolError('ERR_ARGUMENT', z.prettifyError(parsed.error))
      const { timeoutSeconds } = parsed.data as { readonly timeoutSeconds?: number }
      const call = callFor(timeoutSeconds ?? seconds)
      try {
        return await run(parsed.data as z.output<z.ZodObject<Shape>>, call)
      } finally {
        call.end()
      }
    },
  }
}

/** Returns a text result. @param data - the same content as data for programs */
export function text(content: string, data?: Record<string, unknown>): CallToolResult {
  return { content: [{ type: 'text', text: content }], ...(data !== undefined && { structuredContent: data }) }
}
