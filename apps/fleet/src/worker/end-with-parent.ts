// Preloaded into the process of a machine: `node --import`. A worker that is killed cannot end its machines; their channel to it
// is closed then, and they end as at SIGTERM.
process.on('disconnect', () => process.kill(process.pid, 'SIGTERM'))
// The listener alone would keep a machine's process from ending.
process.channel?.unref()
