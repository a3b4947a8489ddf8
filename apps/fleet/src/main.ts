#!/usr/bin/env node
import { enableCompileCache } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

// Node caches compiled code in `retrap`'s folder, which halves the time of later starts. NODE_COMPILE_CACHE names another folder,
// and NODE_DISABLE_COMPILE_CACHE=1 disables the cache. The rest of the program is imported afterwards.
if ((process.env['NODE_COMPILE_CACHE'] ?? '') === '')
  enableCompileCache(join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'retrap', 'compiled'))
await import('./command.ts')
// A client of a queue that has never reached its server keeps trying.
process.exit()
