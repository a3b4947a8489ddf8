// SPDX-License-Identifier: MIT OR GPL-2.0
// Copyright (c) the retrap authors
//
// A Linux driver of the DMA engine in dma_engine.v. What is written to /dev/retrap-dma is copied by the engine, and can be read
// again. Loading it copies a megabyte once, and says how that went.
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/uaccess.h>

enum { SOURCE = 0x00, DESTINATION = 0x08, LENGTH = 0x10, CONTROL = 0x14, STATUS = 0x18, CYCLES = 0x1c };
enum { GO = 1, INTERRUPT = 2 };
enum { BUSY = 1, DONE = 2, FAILED = 4 };
#define BUFFER_BYTES (1 << 20)

struct engine {
	struct miscdevice misc;
	void __iomem *registers;
	u8 *from, *to;
	dma_addr_t from_at, to_at;
	struct completion copied;
	struct mutex lock;
	u32 status;
	size_t length; /* of what lies in `to` */
};

static irqreturn_t engine_interrupt(int irq, void *data)
{
	struct engine *engine = data;
	u32 status = readl(engine->registers + STATUS);

	if (!(status & DONE))
		return IRQ_NONE;
	writel(DONE | FAILED, engine->registers + STATUS);
	engine->status = status;
	complete(&engine->copied);
	return IRQ_HANDLED;
}

static int engine_copy(struct engine *engine, size_t length)
{
	reinit_completion(&engine->copied);
	writel(lower_32_bits(engine->from_at), engine->registers + SOURCE);
	writel(upper_32_bits(engine->from_at), engine->registers + SOURCE + 4);
	writel(lower_32_bits(engine->to_at), engine->registers + DESTINATION);
	writel(upper_32_bits(engine->to_at), engine->registers + DESTINATION + 4);
	writel(round_up(length, 8), engine->registers + LENGTH);
	writel(GO | INTERRUPT, engine->registers + CONTROL);
	if (!wait_for_completion_timeout(&engine->copied, HZ))
		return -ETIMEDOUT;
	return engine->status & FAILED ? -EIO : 0;
}

static ssize_t engine_write(struct file *file, const char __user *user, size_t length, loff_t *at)
{
	struct engine *engine = container_of(file->private_data, struct engine, misc);
	int error;

	length = min_t(size_t, length, BUFFER_BYTES);
	mutex_lock(&engine->lock);
	error = copy_from_user(engine->from, user, length) ? -EFAULT : engine_copy(engine, length);
	engine->length = error ? 0 : length;
	mutex_unlock(&engine->lock);
	return error ? error : length;
}

static ssize_t engine_read(struct file *file, char __user *user, size_t length, loff_t *at)
{
	struct engine *engine = container_of(file->private_data, struct engine, misc);

	return simple_read_from_buffer(user, length, at, engine->to, engine->length);
}

static const struct file_operations engine_files = {
	.owner = THIS_MODULE, .write = engine_write, .read = engine_read,
};

static int engine_probe(struct pci_dev *pci, const struct pci_device_id *id)
{
	struct engine *engine = devm_kzalloc(&pci->dev, sizeof(*engine), GFP_KERNEL);
	int error, i;
	u64 began;

	if (!engine)
		return -ENOMEM;
	error = pcim_enable_device(pci) ?: pcim_iomap_regions(pci, BIT(0), "retrap-dma");
	if (error)
		return error;
	pci_set_master(pci);
	pci_set_drvdata(pci, engine);
	engine->registers = pcim_iomap_table(pci)[0];
	init_completion(&engine->copied);
	mutex_init(&engine->lock);
	error = dma_set_mask_and_coherent(&pci->dev, DMA_BIT_MASK(64));
	engine->from = dmam_alloc_coherent(&pci->dev, BUFFER_BYTES, &engine->from_at, GFP_KERNEL);
	engine->to = dmam_alloc_coherent(&pci->dev, BUFFER_BYTES, &engine->to_at, GFP_KERNEL);
	if (error || !engine->from || !engine->to)
		return error ?: -ENOMEM;
	if (pci_alloc_irq_vectors(pci, 1, 1, PCI_IRQ_MSI) != 1)
		return -ENODEV;
	error = devm_request_irq(&pci->dev, pci_irq_vector(pci, 0), engine_interrupt, 0, "retrap-dma", engine);
	if (error)
		return error;
	for (i = 0; i < BUFFER_BYTES; i++)
		engine->from[i] = i * 7 ^ i >> 9;
	began = ktime_get_ns();
	error = engine_copy(engine, BUFFER_BYTES);
	if (!error && memcmp(engine->from, engine->to, BUFFER_BYTES))
		error = -EILSEQ;
	dev_info(&pci->dev, "copied %u bytes: %d, %u cycles, %llu ns\n", BUFFER_BYTES, error,
		 readl(engine->registers + CYCLES), ktime_get_ns() - began);
	engine->misc = (struct miscdevice){
		.name = "retrap-dma", .minor = MISC_DYNAMIC_MINOR, .fops = &engine_files,
	};
	return error ?: misc_register(&engine->misc);
}

static void engine_remove(struct pci_dev *pci)
{
	struct engine *engine = pci_get_drvdata(pci);

	misc_deregister(&engine->misc);
}

static const struct pci_device_id engine_ids[] = { { PCI_DEVICE(0x1234, 0x0d3a) }, {} };
MODULE_DEVICE_TABLE(pci, engine_ids);

static struct pci_driver engine_driver = {
	.name = "retrap-dma", .id_table = engine_ids, .probe = engine_probe, .remove = engine_remove,
};
module_pci_driver(engine_driver);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("The DMA engine of retrap's Verilator example");
