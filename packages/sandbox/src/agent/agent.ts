import { AGENT_PROGRAM } from './agent-program.ts'

/** Returns the agent: a static ELF executable for Linux on x86-64. `agent.c` is its source. */
export const buildAgent = (): Uint8Array => Buffer.from(AGENT_PROGRAM, 'base64')
