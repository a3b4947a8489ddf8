#!/usr/bin/env node
import { enableCompileCache } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

// Node keeps what it compiles in the folder that `retrap` has for it: a later start takes half the time. NODE_COMPILE_CACHE names
// another folder, and NODE_DISABLE_COMPILE_CACHE=1 has nothing kept. So the rest of the program is imported after this.
if ((process.env['NODE_COMPILE_CACHE'] ?? '') === '')
  enableCompileCache(join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'retrap', 'compiled'))
await import('./command.ts')
